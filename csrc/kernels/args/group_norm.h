// Arguments of group norm and instance norm.
#pragma once

#include "kernels/args/common.h"

namespace fastnn {

// x is (outer, channels, inner), none of them 0; statistics are (outer, groups), each over channels / groups
// neighbouring channels.
template <class T>
struct GroupNormArgs {
  T* y;  // may be x
  double* mean;
  double* rstd;
  double* variance;  // (outer, groups), biased; null if running_mean is null
  T* running_mean;   // (groups); may be null
  T* running_var;    // (groups); null if running_mean is null
  const T* x;
  const T* weight;  // (channels); may be null
  const T* bias;    // (channels); may be null
  Index outer, channels, groups, inner;
  double momentum, eps;
};

template <class T>
struct GroupNormBackwardArgs {
  T* dx;  // may be dy or x
  T* dweight;
  T* dbias;
  double* partial;  // (group_norm_parts(outer, inner), 2, channels)
  const T* dy;
  const T* x;
  const T* weight;  // may be null
  const double* mean;
  const double* rstd;
  Index outer, channels, groups, inner;
};

static constexpr Index kRowsPerGroupNormPart = 64;

// With inner == 1, sums for each sample would be as large as x in double.
static constexpr Index group_norm_part(Index inner) { return inner == 1 ? kRowsPerGroupNormPart : 1; }
static constexpr Index group_norm_parts(Index outer, Index inner) {
  return (outer + group_norm_part(inner) - 1) / group_norm_part(inner);
}

}  // namespace fastnn
