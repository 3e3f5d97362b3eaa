// Softmax and log-softmax over the last axis: rows of n elements. The row's largest element is subtracted before the
// exponential, so that none overflows. A row is read from memory once. y may be x, dx may be dy or y.
// Source: J. Bridle, "Probabilistic interpretation of feedforward classification network outputs", 1990.
#pragma once

#include "kernels/args/softmax.h"
#include "kernels/parallel.h"
#include "kernels/prefetch.h"
#include "kernels/wide.h"
#include "steps/logarithm.h"
#include "steps/softmax.h"

namespace fastnn {
namespace {

// A row of kWide or more elements has loops of its own, over tiles of kTile; shorter rows are exponentiated together.
constexpr Index kWide = 256, kTile = 1024;

inline Index smaller(Index a, Index b) { return a < b ? a : b; }

// Returns the largest element and ignores NaN, which will make the sum of exponentials NaN in any case.
template <class T>
inline T maximum(const T* x, Index n) {
  T largest = T(-__builtin_inf());
  Index i = 0;
  if (n >= kLanes) {
    T lanes[kLanes];
    for (T& lane : lanes) lane = largest;
    for (; i + kLanes <= n; i += kLanes) {
#pragma omp simd
      for (Index lane = 0; lane < kLanes; ++lane) lanes[lane] = x[i + lane] > lanes[lane] ? x[i + lane] : lanes[lane];
    }
    for (T lane : lanes) largest = lane > largest ? lane : largest;
  }
  for (; i < n; ++i) largest = x[i] > largest ? x[i] : largest;
  return largest;
}

// Sums term(i) over a row. A row too short for lanes is summed in order; the sums of many rows overlap in the pipeline.
template <class Term>
inline double row_sum(Index n, Term term) {
  if (n >= kLanes) return sum(n, term);
  double total = 0;
  for (Index i = 0; i < n; ++i) total += term(i);
  return total;
}

// Computes e = e^(x - shift) and returns the sum; meanwhile prefetches `next`, which belongs to the next row.
template <class T>
inline double exponentials(T* e, const T* x, T shift, Index n, const T* next) {
#pragma omp simd
  for (Index i = 0; i < n; ++i) e[i] = exponential_of_negative(x[i] - shift);
  return sum_of(e, n, [=](Index i) { prefetch(next + i, kLanes); });
}

// exponential_rows() for rows shorter than kWide; y is where the result of row `begin` goes.
template <class T, class Before, class After>
inline void short_exponential_rows(T* y, const T* x, Index n, Index begin, Index end, Before before, After after) {
  const Index size = (end - begin) * n;
  for (Index row = begin; row < end; ++row) {
    const T *from = x + row * n, shift = maximum(from, n);
    before(row, shift);
    T* to = y + (row - begin) * n;
#pragma omp simd
    for (Index i = 0; i < n; ++i) to[i] = from[i] - shift;
  }
#pragma omp simd
  for (Index i = 0; i < size; ++i) y[i] = exponential_of_negative(y[i]);
  for (Index row = begin; row < end; ++row) {
    const T* e = y + (row - begin) * n;
    after(row, row_sum(n, [=](Index i) { return double(e[i]); }));
  }
}

// Computes y = e^(x - shift) for rows [begin, end), where shift is the row's largest element. Calls before(row, shift)
// before y is written, and after(row, total) with the row's sum. Without y, only the sums are computed, with the same
// bits.
template <class T, class Before, class After>
inline void exponential_rows(T* y, const T* x, Index n, Index begin, Index end, Before before, After after) {
  T buffer[kTile];
  if (n >= kWide) {
    for (Index row = begin; row < end; ++row) {
      const T shift = maximum(x + row * n, n);
      before(row, shift);
      double total = 0;
      for (Index i = row * n; i < (row + 1) * n; i += kTile) {
        total += exponentials(y ? y + i : buffer, x + i, shift, smaller(kTile, (row + 1) * n - i), x + i + n);
      }
      after(row, total);
    }
    return;
  }
  if (y) return short_exponential_rows(y + begin * n, x, n, begin, end, before, after);
  const Index rows = kTile / (n < 1 ? 1 : n);
  for (; begin < end; begin += rows) {
    short_exponential_rows(buffer, x, n, begin, smaller(begin + rows, end), before, after);
  }
}

// Calls body(begin, end) for ranges of rows that stay in the first-level cache between the passes.
template <class Body>
inline void for_each_rows(Index rows, Index n, Body body) noexcept {
  for_each_range(rows, 4 * n, body);
}

template <class T>
inline void softmax_rows(const SoftmaxArgs<T>& a) noexcept {
  T* y = a.y;
  const T* x = a.x;
  const Index n = a.n;
  for_each_rows(a.outer, n, [=](Index begin, Index end) {
    exponential_rows(
        y, x, n, begin, end, [](Index, T) {},
        [=](Index row, double total) {
          const T scale = T(1 / total);
#pragma omp simd
          for (Index i = row * n; i < (row + 1) * n; ++i) y[i] *= scale;
        });
  });
}

// The exponentials go to a buffer, since only their sum is needed.
template <class T>
inline void log_softmax_row(T* y, const T* x, Index n) {
  T buffer[kTile];
  const T shift = maximum(x, n);
  double total = 0;
  for (Index i = 0; i < n; i += kTile) total += exponentials(buffer, x + i, shift, smaller(kTile, n - i), x + i + n);
  const T log_total = T(logarithm(total));
#pragma omp simd
  for (Index i = 0; i < n; ++i) y[i] = (x[i] - shift) - log_total;
}

template <class T>
inline void short_log_softmax_rows(T* y, const T* x, Index n, Index rows) {
  T buffer[kTile];
  for (Index row = 0; row < rows; ++row) {
    const T shift = maximum(x + row * n, n);
#pragma omp simd
    for (Index i = row * n; i < (row + 1) * n; ++i) y[i] = x[i] - shift;
  }
#pragma omp simd
  for (Index i = 0; i < rows * n; ++i) buffer[i] = exponential_of_negative(y[i]);
  for (Index row = 0; row < rows; ++row) {
    const T* e = buffer + row * n;
    const T log_total = T(logarithm(row_sum(n, [=](Index i) { return double(e[i]); })));
#pragma omp simd
    for (Index i = row * n; i < (row + 1) * n; ++i) y[i] -= log_total;
  }
}

template <class T>
inline void log_softmax_rows(const SoftmaxArgs<T>& a) noexcept {
  T* y = a.y;
  const T* x = a.x;
  const Index n = a.n;
  for_each_rows(a.outer, n, [=](Index begin, Index end) {
    if (n >= kWide) {
      for (Index row = begin; row < end; ++row) log_softmax_row(y + row * n, x + row * n, n);
      return;
    }
    const Index rows = kTile / (n < 1 ? 1 : n);
    for (Index row = begin; row < end; row += rows) {
      short_log_softmax_rows(y + row * n, x + row * n, n, smaller(rows, end - row));
    }
  });
}

// Both gradients are elementwise once a sum over the row is known.
template <class Rule, class T>
inline void backward_rows(const SoftmaxBackwardArgs<T>& a) noexcept {
  T* dx = a.dx;
  const T *dy = a.dy, *y = a.y;
  const Index n = a.n;
  for_each_rows(a.outer, n, [=](Index begin, Index end) {
    for (Index row = begin * n; row < end * n; row += n) {
      const T total = T(row_sum(n, [=](Index i) { return double(Rule::term(dy[row + i], y[row + i])); }));
#pragma omp simd
      for (Index i = row; i < row + n; ++i) dx[i] = Rule::gradient(dy[i], y[i], total);
    }
  });
}

}  // namespace
}  // namespace fastnn
