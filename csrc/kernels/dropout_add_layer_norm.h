// sum = residual + dropout(x) and its layer norm in one pass over the rows; each part is optional. The sum is kept:
// backward needs it, and where the norm comes before the next layer, the sum is what the next residual connection adds
// to (R. Xiong et al., "On Layer Normalization in the Transformer Architecture", ICML 2020).
#pragma once

#include "kernels/layer_norm.h"
#include "kernels/mask.h"
#include "kernels/prefetch.h"

namespace fastnn {
namespace {

template <bool has_residual, class T>
inline void add_row(const DropoutAddLayerNormArgs<T>& a, Index row) {
  const Index n = a.norm.columns;
  const T *x = a.x, *residual = a.residual;
  T* sum = a.sum;
  const T scale = a.scale;
  const std::uint32_t threshold = a.threshold;
  if (threshold == 0) {
#pragma omp simd
    for (Index i = row * n; i < row * n + n; ++i) sum[i] = has_residual ? x[i] * scale + residual[i] : x[i] * scale;
    return;
  }
  for_each_masked_run(row * n, row * n + n, a.random, [=](Index first, Index count, const std::uint32_t* bits16) {
    prefetch(x + first + kAhead, count);
    if (has_residual) prefetch(residual + first + kAhead, count);
    prefetch_to_write(sum + first + kAhead, count);
#pragma omp simd
    for (Index i = 0; i < count; ++i) {
      const T kept = keep_or_drop(x[first + i], bits16[i], threshold, scale);
      sum[first + i] = has_residual ? kept + residual[first + i] : kept;
    }
  });
}

template <class T>
void dropout_add_layer_norm_kernel(const DropoutAddLayerNormArgs<T>& a) noexcept {
  for_each_range(a.norm.rows, a.norm.columns, [=, &a](Index begin, Index end) {
    for (Index row = begin; row < end; ++row) {
      a.residual ? add_row<true>(a, row) : add_row<false>(a, row);
      if (a.norm.y) norm_row(a.norm, row);
    }
  });
}

// norm.dx holds the gradient with respect to the sum that comes through the norm. This adds dsum, the gradient from
// other uses of the sum, and writes the gradient with respect to x, with the dropout mask applied, to dx.
template <class T>
inline void split_row(const DropoutAddLayerNormBackwardArgs<T>& a, Index row) {
  const Index begin = row * a.norm.columns, end = begin + a.norm.columns;
  T *dresidual = a.norm.dx, *dx = a.dx;
  const T *dsum = a.dsum, scale = a.scale;
  const std::uint32_t threshold = a.threshold;
  if (dsum) {
#pragma omp simd
    for (Index i = begin; i < end; ++i) dresidual[i] += dsum[i];
  }
  if (!dx) return;
  for_each_masked_run(begin, end, a.random, [=](Index first, Index count, const std::uint32_t* bits16) {
    prefetch_to_write(dx + first + kAhead, count);
#pragma omp simd
    for (Index i = 0; i < count; ++i) dx[first + i] = keep_or_drop(dresidual[first + i], bits16[i], threshold, scale);
  });
}

template <class T>
void dropout_add_layer_norm_backward_kernel(const DropoutAddLayerNormBackwardArgs<T>& a) noexcept {
  for_each_row_part(a.norm, [=](T* dweight, T* dbias, Index row) {
    norm_row_backward(a.norm, dweight, dbias, row);
    split_row(a, row);
  });
}

}  // namespace
}  // namespace fastnn
