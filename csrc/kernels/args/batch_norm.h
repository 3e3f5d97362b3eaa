// Arguments of batch norm.
#pragma once

#include "kernels/args/common.h"

namespace fastnn {

// x is (outer, channels, inner); statistics are per channel. y is the normalised x, then + residual, then relu.
template <class T>
struct BatchNormArgs {
  T* y;  // may be x or residual
  double* mean;
  double* rstd;
  T* running_mean;  // may be null in training
  T* running_var;   // may be null in training
  double* partial;  // batch_norm_partial(outer, channels, inner) elements
  const T* x;
  const T* weight;    // may be null
  const T* bias;      // may be null
  const T* residual;  // may be null
  Index outer, channels, inner;
  double momentum, eps;
  bool training, unbiased, relu;
};

template <class T>
struct BatchNormBackwardArgs {
  T* dx;         // may be dy or x
  T* dresidual;  // may be null; may be y
  T* dweight;
  T* dbias;
  double* partial;  // as in forward
  const T* dy;
  const T* x;
  const T* y;       // null if there is no relu
  const T* weight;  // may be null
  const double* mean;
  const double* rstd;
  Index outer, channels, inner;
  bool training;
};

// With inner == 1, columns are summed in tiles of at most kTileColumns columns, and as many rows as make kTileElements.
static constexpr Index kTileColumns = 1024, kTileElements = 32768;
static constexpr Index tile_rows(Index channels) {
  return kTileElements / (channels < 1 ? 1 : (channels < kTileColumns ? channels : kTileColumns));
}
static constexpr Index tile_row_blocks(Index outer, Index channels) {
  return outer < 1 ? 1 : (outer + tile_rows(channels) - 1) / tile_rows(channels);
}
// The size of the scratch memory in doubles: two sums per run, or two sums per column and block of rows, and then six
// numbers per channel.
static constexpr Index batch_norm_partial(Index outer, Index channels, Index inner) {
  return inner == 1 ? (2 * tile_row_blocks(outer, channels) + 6) * channels : 2 * outer * channels;
}

}  // namespace fastnn
