#pragma once

#include "steps/math.h"

namespace fastnn {

// NaN is not <= 0, so it stays NaN, as in torch.
template <class T>
FASTNN_STEP T relu(T x) {
  return x <= 0 ? T(0) : x;
}

template <class T>
FASTNN_STEP T relu_gradient(T dy, T x) {
  return x <= 0 ? T(0) : dy;
}

}  // namespace fastnn
