// Arguments of dropout.
#pragma once

#include "kernels/args/common.h"

namespace fastnn {

template <class T>
struct DropoutArgs {
  T* y;  // may be x
  const T* x;
  Index size, inner;  // `inner` consecutive elements share one decision; 1 except for whole channels
  Philox random;
  std::uint32_t threshold;  // an element is dropped if its 16 random bits are below this
  T scale;
  T shift, dropped;  // only for alpha dropout
};

}  // namespace fastnn
