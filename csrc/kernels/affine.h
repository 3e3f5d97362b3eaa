// Weights and biases that may be missing.
#pragma once

#include "kernels/args/common.h"

namespace fastnn {
namespace {

// The i-th weight, 1 without weights.
template <class T>
inline T weight_at(const T* weight, Index i) {
  return weight ? weight[i] : T(1);
}

// The i-th bias, 0 without biases.
template <class T>
inline T bias_at(const T* bias, Index i) {
  return bias ? bias[i] : T(0);
}

}  // namespace
}  // namespace fastnn
