// Arguments of weight norm.
#pragma once

#include "kernels/args/common.h"

namespace fastnn {

// v is (outer, channels, inner); the norm is per channel.
template <class T>
struct WeightNormArgs {
  T* w;  // may be v
  double* norm;
  const T* v;
  const T* g;  // (channels)
  Index outer, channels, inner;
};

template <class T>
struct WeightNormBackwardArgs {
  T* dv;  // may be dw or v
  T* dg;
  const T* dw;
  const T* v;
  const T* g;
  const double* norm;
  Index outer, channels, inner;
};

}  // namespace fastnn
