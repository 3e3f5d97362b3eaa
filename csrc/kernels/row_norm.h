// Layer norm: x is (rows, columns), statistics per row. A row is read from memory once: variance, result and
// gradients take it again from cache. y may be x, dx may be dy.
#pragma once

#include "kernels/moments.h"
#include "kernels/parallel.h"
#include "steps/norm.h"

namespace fastnn {
namespace {

// The i-th weight, where there may be none.
template <class T>
inline T weight_at(const T* weight, Index i) {
  return weight ? weight[i] : T(1);
}

template <class T>
inline T bias_at(const T* bias, Index i) {
  return bias ? bias[i] : T(0);
}

template <class T>
inline void norm_row(const RowNormArgs<T>& a, Index row) {
  const Index n = a.columns;
  const T* x = a.x + row * n;
  T* y = a.y + row * n;
  const MeanVariance s = mean_variance(x, n);
  const double rstd = reciprocal_deviation(s.variance, a.eps);
  a.mean[row] = s.mean;
  a.rstd[row] = rstd;
  const Moments<T> m = moments<T>(s.mean, rstd);
  const T *weight = a.weight, *bias = a.bias;
#pragma omp simd
  for (Index i = 0; i < n; ++i) y[i] = normalise(x[i], m) * weight_at(weight, i) + bias_at(bias, i);
}

template <class T>
void row_norm_kernel(const RowNormArgs<T>& a) noexcept {
  for_each_range(a.rows, a.columns, [=](Index begin, Index end) {
    for (Index row = begin; row < end; ++row) norm_row(a, row);
  });
}

template <class T>
inline void norm_row_backward(const RowNormBackwardArgs<T>& a, T* dweight, T* dbias, Index row) {
  const Index n = a.columns;
  const T *x = a.x + row * n, *dy = a.dy + row * n, *weight = a.weight;
  T* dx = a.dx + row * n;
  const Moments<T> m = moments<T>(a.mean[row], a.rstd[row]);
  const Pair sums = sum_pairs(n, [=](Index i) {
    const T g = dy[i] * weight_at(weight, i);
    return Pair{double(g), double(g * normalise(x[i], m))};
  });
  const T mean_g = T(sums.first / double(n)), mean_gx = T(sums.second / double(n));
#pragma omp simd
  for (Index i = 0; i < n; ++i) {
    const T normalised = normalise(x[i], m), g = dy[i];
    dweight[i] += g * normalised;
    dbias[i] += g;
    dx[i] = normalise_gradient(g * weight_at(weight, i), normalised, mean_g, mean_gx, m.rstd);
  }
}

// The gradients of weight and bias are summed over 64 rows in the element's type, then over those parts in double.
template <class T>
void row_norm_backward_kernel(const RowNormBackwardArgs<T>& a) noexcept {
  const Index n = a.columns, parts = row_norm_blocks(a.rows);
  for_each_block(parts, a.rows * n, [=](Index part) {
    T *dweight = a.partial + part * 2 * n, *dbias = dweight + n;
    for (Index i = 0; i < 2 * n; ++i) dweight[i] = 0;
    const Index end = (part + 1) * kRowsPerPartial < a.rows ? (part + 1) * kRowsPerPartial : a.rows;
    for (Index row = part * kRowsPerPartial; row < end; ++row) norm_row_backward(a, dweight, dbias, row);
  });
  for (Index i = 0; i < n; ++i) {
    double dweight = 0, dbias = 0;
    for (Index part = 0; part < parts; ++part) {
      dweight += double(a.partial[part * 2 * n + i]);
      dbias += double(a.partial[part * 2 * n + n + i]);
    }
    a.dweight[i] = T(dweight);
    a.dbias[i] = T(dbias);
  }
}

}  // namespace
}  // namespace fastnn
