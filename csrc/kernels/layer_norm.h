// Layer norm and RMS norm: x is (rows, columns), with statistics per row. A row is read from memory once: the variance,
// result and gradients read it again from cache. y may be x, dx may be dy or x.
#pragma once

#include "kernels/affine.h"
#include "kernels/args/layer_norm.h"
#include "kernels/gradient_sums.h"
#include "kernels/moments.h"
#include "kernels/parts.h"
#include "steps/norm.h"

namespace fastnn {
namespace {

template <class T>
inline void norm_row(const LayerNormArgs<T>& a, Index row) {
  const Index n = a.columns;
  const T* x = a.x + row * n;
  T* y = a.y + row * n;
  const MeanVariance s = a.mean ? mean_variance(x, n) : MeanVariance{0.0, mean_square(x, n)};
  const double rstd = reciprocal_deviation(s.variance, a.eps);
  if (a.mean) a.mean[row] = s.mean;
  a.rstd[row] = rstd;
  const Moments<T> m = moments<T>(s.mean, rstd);
  const T *weight = a.weight, *bias = a.bias;
#pragma omp simd
  for (Index i = 0; i < n; ++i) y[i] = normalise(x[i], m) * weight_at(weight, i) + bias_at(bias, i);
}

template <class T>
void layer_norm_kernel(const LayerNormArgs<T>& a) noexcept {
  for_each_range(a.rows, a.columns, [=, &a](Index begin, Index end) {
    for (Index row = begin; row < end; ++row) norm_row(a, row);
  });
}

// Not inline: inlined into the loop over rows it took up to a tenth longer (Zen 4, GCC 12).
template <class T>
__attribute__((noinline)) void norm_row_backward(const LayerNormBackwardArgs<T>& a, T* dweight, T* dbias, Index row) {
  const Index n = a.columns;
  const T *x = a.x + row * n, *dy = a.dy + row * n, *weight = a.weight;
  T* dx = a.dx + row * n;
  const Moments<T> m = moments<T>(a.mean ? a.mean[row] : 0.0, a.rstd[row]);
  const Pair sums = gradient_sums<T>(n, [=](Index i) { return Terms<T>{dy[i] * weight_at(weight, i), normalise(x[i], m)}; });
  const T mean_g = a.mean ? T(sums.first / double(n)) : T(0), mean_gx = T(sums.second / double(n));
#pragma omp simd
  for (Index i = 0; i < n; ++i) {
    const T normalised = normalise(x[i], m), g = dy[i];
    dweight[i] += g * normalised;
    dbias[i] += g;
    dx[i] = normalise_gradient(g * weight_at(weight, i), normalised, mean_g, mean_gx, m.rstd);
  }
}

// Calls body(dweight, dbias, row) for every row, with the sums of the row's part. The gradients with respect to weight
// and bias are summed over 64 rows in the element's type, then over those parts in double.
template <class T, class Body>
inline void for_each_row_part(const LayerNormBackwardArgs<T>& a, Body body) {
  const Index n = a.columns;
  for_each_block(layer_norm_blocks(a.rows), a.rows * n, [=, &a](Index part) {
    T *dweight = a.partial + part * 2 * n, *dbias = dweight + n;
    for (Index i = 0; i < 2 * n; ++i) dweight[i] = 0;
    const Index end = (part + 1) * kRowsPerLayerNormPart < a.rows ? (part + 1) * kRowsPerLayerNormPart : a.rows;
    for (Index row = part * kRowsPerLayerNormPart; row < end; ++row) body(dweight, dbias, row);
  });
  add_parts(a.dweight, a.partial, layer_norm_blocks(a.rows), 2 * n, n);
  add_parts(a.dbias, a.partial + n, layer_norm_blocks(a.rows), 2 * n, n);
}

template <class T>
void layer_norm_backward_kernel(const LayerNormBackwardArgs<T>& a) noexcept {
  for_each_row_part(a, [=](T* dweight, T* dbias, Index row) { norm_row_backward(a, dweight, dbias, row); });
}

}  // namespace
}  // namespace fastnn
