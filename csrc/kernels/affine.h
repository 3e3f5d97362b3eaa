// Optional weights and biases.
#pragma once

#include "kernels/args/common.h"

namespace fastnn {
namespace {

// Returns the i-th weight, or 1 if there are no weights.
template <class T>
inline T weight_at(const T* weight, Index i) {
  return weight ? weight[i] : T(1);
}

// Returns the i-th bias, or 0 if there are no biases.
template <class T>
inline T bias_at(const T* bias, Index i) {
  return bias ? bias[i] : T(0);
}

}  // namespace
}  // namespace fastnn
