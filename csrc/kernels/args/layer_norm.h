// Arguments of layer norm and RMS norm, and of layer norm with dropout and a residual before it.
#pragma once

#include "kernels/args/common.h"

namespace fastnn {

// x is (rows, columns); statistics are per row. Without a mean, a row is divided by its root mean square.
template <class T>
struct LayerNormArgs {
  T* y;  // may be x
  double* mean;  // null for RMS norm
  double* rstd;
  const T* x;
  const T* weight;  // may be null
  const T* bias;    // may be null
  Index rows, columns;
  double eps;
};

template <class T>
struct LayerNormBackwardArgs {
  T* dx;  // may be dy or x
  T* dweight;
  T* dbias;    // zeros for RMS norm
  T* partial;  // (layer_norm_blocks(rows), 2, columns)
  const T* dy;
  const T* x;
  const T* weight;     // may be null
  const double* mean;  // null for RMS norm
  const double* rstd;
  Index rows, columns;
};

// The operations fused before the norm: sum = residual + dropout(x). norm.x is `sum`.
template <class T>
struct DropoutAddLayerNormArgs {
  LayerNormArgs<T> norm;  // norm.y is null if there is no norm
  T* sum;               // may be x or residual
  const T* x;
  const T* residual;  // may be null
  Philox random;
  std::uint32_t threshold;
  T scale;
};

// norm.dx is the gradient with respect to residual. dx, the gradient with respect to x, is the same with the mask
// applied.
template <class T>
struct DropoutAddLayerNormBackwardArgs {
  LayerNormBackwardArgs<T> norm;
  T* dx;          // may be null
  const T* dsum;  // added to the norm's dx; may be null
  Philox random;
  std::uint32_t threshold;
  T scale;
};

static constexpr Index kRowsPerLayerNormPart = 64;
static constexpr Index layer_norm_blocks(Index rows) { return (rows + kRowsPerLayerNormPart - 1) / kRowsPerLayerNormPart; }

}  // namespace fastnn
