// Arguments of softmax.
#pragma once

#include "kernels/args/common.h"

namespace fastnn {

// x is (outer, n, inner), the softmax over n.
template <class T>
struct SoftmaxArgs {
  T* y;  // may be x
  const T* x;
  Index outer, n, inner;
};

template <class T>
struct SoftmaxBackwardArgs {
  T* dx;  // may be dy or y
  const T* dy;
  const T* y;
  Index outer, n, inner;
};

}  // namespace fastnn
