// Arguments of norms.
#pragma once

#include "kernels/args/common.h"

namespace fastnn {

// x is (rows, columns); statistics are per row.
template <class T>
struct RowNormArgs {
  T* y;  // may be x
  double* mean;
  double* rstd;
  const T* x;
  const T* weight;  // may be null
  const T* bias;    // may be null
  Index rows, columns;
  double eps;
};

template <class T>
struct RowNormBackwardArgs {
  T* dx;  // may be dy
  T* dweight;
  T* dbias;
  T* partial;  // (row_norm_blocks(rows), 2, columns)
  const T* dy;
  const T* x;
  const T* weight;  // may be null
  const double* mean;
  const double* rstd;
  Index rows, columns;
};

constexpr Index kRowsPerPartial = 64;
constexpr Index row_norm_blocks(Index rows) { return (rows + kRowsPerPartial - 1) / kRowsPerPartial; }

// x is (outer, channels, inner); statistics are per channel.
template <class T>
struct ChannelNormArgs {
  T* y;  // may be x
  double* mean;
  double* rstd;
  T* running_mean;  // may be null in training
  T* running_var;   // may be null in training
  const T* x;
  const T* weight;  // may be null
  const T* bias;    // may be null
  Index outer, channels, inner;
  double momentum, eps;
  bool training;
};

template <class T>
struct ChannelNormBackwardArgs {
  T* dx;  // may be dy
  T* dweight;
  T* dbias;
  const T* dy;
  const T* x;
  const T* weight;  // may be null
  const double* mean;
  const double* rstd;
  Index outer, channels, inner;
  bool training;
};

// x is (outer, channels, inner), none of them 0; statistics are (outer, groups), each of channels / groups neighbours.
template <class T>
struct GroupNormArgs {
  T* y;  // may be x
  double* mean;
  double* rstd;
  double* variance;  // (outer, groups), biased; null where running_mean is
  T* running_mean;   // (groups); may be null
  T* running_var;    // (groups); null where running_mean is
  const T* x;
  const T* weight;  // (channels); may be null
  const T* bias;    // (channels); may be null
  Index outer, channels, groups, inner;
  double momentum, eps;
};

template <class T>
struct GroupNormBackwardArgs {
  T* dx;  // may be dy
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

// With inner == 1 a sum per sample would be as large as x in double.
constexpr Index group_norm_part(Index inner) { return inner == 1 ? kRowsPerPartial : 1; }
constexpr Index group_norm_parts(Index outer, Index inner) {
  return (outer + group_norm_part(inner) - 1) / group_norm_part(inner);
}

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
