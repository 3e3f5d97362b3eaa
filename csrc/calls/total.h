// The sum of the parts that a kernel leaves.
#pragma once

#include "kernels/args.h"

namespace fastnn {

// In an order that depends on the number alone; eight sums, since one would wait for itself at every addition.
inline double total_of(const double* parts, Index size) noexcept {
  double lanes[8] = {};
  for (Index i = 0; i < size; ++i) lanes[i % 8] += parts[i];
  return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

}  // namespace fastnn
