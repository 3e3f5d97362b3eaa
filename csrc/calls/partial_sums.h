// The partial sums that kernels return, one for each block of kBlockElements.
#pragma once

#include "kernels/args/common.h"

namespace fastnn {

inline Index partial_sums_of(Index elements) { return (elements + kBlockElements - 1) / kBlockElements; }

// Adds the parts in an order that depends on their number alone. There are eight sums, since a single one would wait
// for itself at every addition.
inline double total_of(const double* parts, Index size) noexcept {
  double lanes[8] = {};
  for (Index i = 0; i < size; ++i) lanes[i % 8] += parts[i];
  return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

}  // namespace fastnn
