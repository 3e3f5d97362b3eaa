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

}  // namespace fastnn
