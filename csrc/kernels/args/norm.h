// Arguments of norms.
#pragma once

#include "kernels/args/common.h"

namespace fastnn {

// x is (rows, columns); statistics are per row. Without a mean it is the root mean square that a row is divided by.
template <class T>
struct RowNormArgs {
  T* y;  // may be x
  double* mean;  // null for rms norm
  double* rstd;
  const T* x;
  const T* weight;  // may be null
  const T* bias;    // may be null
  Index rows, columns;
  double eps;
};

template <class T>
struct RowNormBackwardArgs {
  T* dx;  // may be dy or x
  T* dweight;
  T* dbias;    // zeros for rms norm
  T* partial;  // (row_norm_blocks(rows), 2, columns)
  const T* dy;
  const T* x;
  const T* weight;     // may be null
  const double* mean;  // null for rms norm
  const double* rstd;
  Index rows, columns;
};

// What a norm is fused with: sum = residual + dropout(x), of which norm.x is the norm's input.
template <class T>
struct ResidualNormArgs {
  RowNormArgs<T> norm;  // without y there is no norm
  T* sum;               // may be x or residual
  const T* x;
  const T* residual;  // may be null
  Philox random;
  std::uint32_t threshold;
  T scale;
};

// The norm's dx is the gradient by residual; that by x is the same where dropout kept it.
template <class T>
struct ResidualNormBackwardArgs {
  RowNormBackwardArgs<T> norm;
  T* dx;          // may be null
  const T* dsum;  // added to the norm's dx; may be null
  Philox random;
  std::uint32_t threshold;
  T scale;
};

constexpr Index kRowsPerPartial = 64;
constexpr Index row_norm_blocks(Index rows) { return (rows + kRowsPerPartial - 1) / kRowsPerPartial; }

// x is (outer, channels, inner); statistics are per channel. y = normalised x, then + residual, then relu.
template <class T>
struct ChannelNormArgs {
  T* y;  // may be x or residual
  double* mean;
  double* rstd;
  T* running_mean;  // may be null in training
  T* running_var;   // may be null in training
  double* partial;  // (channel_norm_partial(outer, channels, inner))
  const T* x;
  const T* weight;    // may be null
  const T* bias;      // may be null
  const T* residual;  // may be null
  Index outer, channels, inner;
  double momentum, eps;
  bool training, unbiased, relu;
};

template <class T>
struct ChannelNormBackwardArgs {
  T* dx;         // may be dy or x
  T* dresidual;  // may be null, and may be y
  T* dweight;
  T* dbias;
  double* partial;  // as in forward
  const T* dy;
  const T* x;
  const T* y;       // null without relu
  const T* weight;  // may be null
  const double* mean;
  const double* rstd;
  Index outer, channels, inner;
  bool training;
};

// With inner == 1 the sums over columns are taken in tiles of at most kTileColumns, and of rows that make kTileElements.
constexpr Index kTileColumns = 1024, kTileElements = 32768;
constexpr Index tile_rows(Index channels) {
  return kTileElements / (channels < 1 ? 1 : (channels < kTileColumns ? channels : kTileColumns));
}
constexpr Index tile_row_blocks(Index outer, Index channels) {
  return outer < 1 ? 1 : (outer + tile_rows(channels) - 1) / tile_rows(channels);
}
// Doubles of scratch: two sums per run, or per column and block of rows and then six numbers per channel.
constexpr Index channel_norm_partial(Index outer, Index channels, Index inner) {
  return inner == 1 ? (2 * tile_row_blocks(outer, channels) + 6) * channels : 2 * outer * channels;
}

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
