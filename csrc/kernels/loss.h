// Softmax cross-entropy and its gradient: loss = ln(sum_j e^(z_j - max)) - (z_label - max), and softmax(z) - one_hot(label)
// over the number of rows. logits and dlogits are (rows, classes), labels (rows). dlogits may be logits; row_loss takes the
// loss of each row, whose mean the caller sums in row order. The shift by the maximum keeps e^z from overflowing.
// Source: J. Bridle, "Probabilistic interpretation of feedforward classification network outputs", 1990.
#pragma once

#include "kernels/lanes.h"
#include "kernels/parallel.h"
#include "steps/math.h"

namespace fastnn {
namespace {

// The largest element, NaN passed over: the sum of exponentials will be NaN in any case.
template <class T>
inline T maximum(const T* x, Index n) {
  T lanes[kLanes];
  for (T& lane : lanes) lane = T(-__builtin_inf());
  Index i = 0;
  for (; i + kLanes <= n; i += kLanes) {
#pragma omp simd
    for (Index lane = 0; lane < kLanes; ++lane) lanes[lane] = x[i + lane] > lanes[lane] ? x[i + lane] : lanes[lane];
  }
  T largest = lanes[0];
  for (Index lane = 1; lane < kLanes; ++lane) largest = lanes[lane] > largest ? lanes[lane] : largest;
  for (; i < n; ++i) largest = x[i] > largest ? x[i] : largest;
  return largest;
}

// In three sweeps over rows that stay in the first cache: the exponentials are taken over all of them at once, since a
// row of ten classes would not fill a vector.
template <class T>
inline void cross_entropy_rows(const CrossEntropyArgs<T> a, Index begin, Index end) {
  const Index n = a.classes;
  for (Index row = begin; row < end; ++row) {
    const T* logits = a.logits + row * n;
    T* shifted = a.dlogits + row * n;
    const T shift = maximum(logits, n);
#pragma omp simd
    for (Index i = 0; i < n; ++i) shifted[i] = logits[i] - shift;
    a.row_loss[row] = -double(shifted[a.labels[row]]);
  }
#pragma omp simd
  for (Index i = begin * n; i < end * n; ++i) a.dlogits[i] = exponential(a.dlogits[i]);
  for (Index row = begin; row < end; ++row) {
    T* dlogits = a.dlogits + row * n;
    const double total = sum(n, [=](Index i) { return double(dlogits[i]); });
    a.row_loss[row] += logarithm(total);
    const T scale = T(1.0 / (total * double(a.rows)));
#pragma omp simd
    for (Index i = 0; i < n; ++i) dlogits[i] *= scale;
    dlogits[a.labels[row]] -= T(1.0 / double(a.rows));
  }
}

template <class T>
void cross_entropy_kernel(const CrossEntropyArgs<T>& a) noexcept {
  for_each_range(a.rows, 4 * a.classes,
                 [=](Index begin, Index end) { cross_entropy_rows(a, begin, end); });
}

}  // namespace
}  // namespace fastnn
