// The rule of max pooling.
#pragma once

#include "steps/portable.h"

namespace fastnn {

// Keeps the first of several largest elements, or the last NaN, as PyTorch does.
template <class T, class Place>
FASTNN_STEP void take_larger(T& largest, Place& at, T x, Place place) {
  const bool taken = x > largest || x != x;
  largest = taken ? x : largest;
  at = taken ? place : at;
}

}  // namespace fastnn
