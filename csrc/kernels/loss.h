// Softmax cross-entropy and its gradient in one visit of each row: logits and dlogits are (rows, classes), labels
// (rows). dlogits may be logits; row_loss takes the loss of each row, whose mean the caller sums in row order.
#pragma once

#include "kernels/lanes.h"
#include "kernels/parallel.h"
#include "steps/loss.h"

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

template <class T>
void cross_entropy_kernel(const CrossEntropyArgs<T>& a) noexcept {
  for_each_range(a.rows, rows_per_block(4 * a.classes), [=](Index begin, Index end) {
    const Index n = a.classes;
    for (Index row = begin; row < end; ++row) {
      const T* logits = a.logits + row * n;
      T* dlogits = a.dlogits + row * n;
      const T shift = maximum(logits, n);
      const T label_logit = logits[a.labels[row]] - shift;
#pragma omp simd
      for (Index i = 0; i < n; ++i) dlogits[i] = exponential(logits[i] - shift);
      const double total = sum(n, [=](Index i) { return double(dlogits[i]); });
      a.row_loss[row] = row_cross_entropy(total, label_logit);
      const T scale = T(1.0 / (total * double(a.rows)));
#pragma omp simd
      for (Index i = 0; i < n; ++i) dlogits[i] *= scale;
      dlogits[a.labels[row]] -= T(1.0 / double(a.rows));
    }
  });
}

}  // namespace
}  // namespace fastnn
