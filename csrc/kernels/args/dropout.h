// Arguments of dropout.
#pragma once

#include "kernels/args/common.h"

namespace fastnn {

template <class T>
struct DropoutArgs {
  T* y;  // may be x
  const T* x;
  Index size, inner;  // `inner` elements in a row share their fate; 1 but for whole channels
  Philox random;
  std::uint32_t threshold;  // drop where 16 random bits are below
  T scale;
  T shift, dropped;  // of alpha dropout
};

}  // namespace fastnn
