// Arguments of the memory probe.
#pragma once

#include "kernels/args/common.h"

namespace fastnn {

// The least that a kernel with some access pattern can do: measures the memory, not the arithmetic.
template <class T>
struct StreamArgs {
  T* updated[3];
  T* written;
  const T* read[2];
  Index size;
  int updates, writes, reads;
};

}  // namespace fastnn
