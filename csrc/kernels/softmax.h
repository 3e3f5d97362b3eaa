// Softmax and log-softmax over any axis: x is (outer, n, inner). softmax_rows.h handles the last axis. For another
// axis, vectors hold columns side by side: 64 of them, and at the end 8 or one. y may be x, dx may be dy or y.
#pragma once

#include <type_traits>

#include "kernels/softmax_rows.h"

namespace fastnn {
namespace {

constexpr Index kColumns = 64, kFewColumns = 8;

// Calls body(tile, first) for tiles of `tile` columns; the first column of a tile begins at element `first`.
template <class Body>
inline void for_each_columns(Index outer, Index n, Index inner, Body body) noexcept {
  const Index tiles = (inner + kColumns - 1) / kColumns;
  for_each_range(outer * tiles, n * smaller(kColumns, inner), [=](Index begin, Index end) {
    for (Index tile = begin; tile < end; ++tile) {
      const Index base = tile / tiles * n * inner, last = smaller(inner, (tile % tiles + 1) * kColumns);
      Index c = tile % tiles * kColumns;
      for (; c + kColumns <= last; c += kColumns) body(std::integral_constant<Index, kColumns>(), base + c);
      for (; c + kFewColumns <= last; c += kFewColumns) body(std::integral_constant<Index, kFewColumns>(), base + c);
      for (; c < last; ++c) body(std::integral_constant<Index, 1>(), base + c);
    }
  });
}

template <class T, Index width>
struct Column {
  T largest[width];
  double total[width];
};

// Finds the largest element of each column, and sums each(e^(x - largest), place).
template <Index width, class T, class Each>
inline Column<T, width> column_exponentials(const T* x, Index n, Index inner, Each each) {
  Column<T, width> s;
  for (Index c = 0; c < width; ++c) s.largest[c] = T(-__builtin_inf()), s.total[c] = 0;
  for (Index row = 0; row < n; ++row) {
#pragma omp simd
    for (Index c = 0; c < width; ++c) {
      const T value = x[row * inner + c];
      s.largest[c] = value > s.largest[c] ? value : s.largest[c];
    }
  }
  for (Index row = 0; row < n; ++row) {
#pragma omp simd
    for (Index c = 0; c < width; ++c) {
      s.total[c] += double(each(exponential_of_negative(x[row * inner + c] - s.largest[c]), row * inner + c));
    }
  }
  return s;
}

template <Index width, class T>
inline void softmax_columns(T* y, const T* x, Index n, Index inner) {
  const auto s = column_exponentials<width>(x, n, inner, [=](T e, Index i) { return y[i] = e; });
  T scale[width];
  for (Index c = 0; c < width; ++c) scale[c] = T(1 / s.total[c]);
  for (Index row = 0; row < n; ++row) {
#pragma omp simd
    for (Index c = 0; c < width; ++c) y[row * inner + c] *= scale[c];
  }
}

template <Index width, class T>
inline void log_softmax_columns(T* y, const T* x, Index n, Index inner) {
  const auto s = column_exponentials<width>(x, n, inner, [](T e, Index) { return e; });
  T log_total[width];
  for (Index c = 0; c < width; ++c) log_total[c] = T(logarithm(s.total[c]));
  for (Index row = 0; row < n; ++row) {
#pragma omp simd
    for (Index c = 0; c < width; ++c) {
      y[row * inner + c] = (x[row * inner + c] - s.largest[c]) - log_total[c];
    }
  }
}

template <Index width, class Rule, class T>
inline void backward_columns(T* dx, const T* dy, const T* y, Index n, Index inner) {
  double total[width] = {};
  for (Index row = 0; row < n; ++row) {
#pragma omp simd
    for (Index c = 0; c < width; ++c) total[c] += double(Rule::term(dy[row * inner + c], y[row * inner + c]));
  }
  T rounded[width];
  for (Index c = 0; c < width; ++c) rounded[c] = T(total[c]);
  for (Index row = 0; row < n; ++row) {
#pragma omp simd
    for (Index c = 0; c < width; ++c) {
      dx[row * inner + c] = Rule::gradient(dy[row * inner + c], y[row * inner + c], rounded[c]);
    }
  }
}

template <class T>
void softmax_kernel(const SoftmaxArgs<T>& a) noexcept {
  if (a.inner == 1) return softmax_rows(a);
  T* y = a.y;
  const T* x = a.x;
  const Index n = a.n, inner = a.inner;
  for_each_columns(a.outer, n, inner, [=](auto tile, Index first) { softmax_columns<tile>(y + first, x + first, n, inner); });
}

template <class T>
void log_softmax_kernel(const SoftmaxArgs<T>& a) noexcept {
  if (a.inner == 1) return log_softmax_rows(a);
  T* y = a.y;
  const T* x = a.x;
  const Index n = a.n, inner = a.inner;
  for_each_columns(a.outer, n, inner,
                   [=](auto tile, Index first) { log_softmax_columns<tile>(y + first, x + first, n, inner); });
}

template <class Rule, class T>
inline void backward(const SoftmaxBackwardArgs<T>& a) noexcept {
  if (a.inner == 1) return backward_rows<Rule>(a);
  T* dx = a.dx;
  const T *dy = a.dy, *y = a.y;
  const Index n = a.n, inner = a.inner;
  for_each_columns(a.outer, n, inner, [=](auto tile, Index first) {
    backward_columns<tile, Rule>(dx + first, dy + first, y + first, n, inner);
  });
}

template <class T>
void softmax_backward_kernel(const SoftmaxBackwardArgs<T>& a) noexcept {
  backward<SoftmaxGradient<T>>(a);
}

template <class T>
void log_softmax_backward_kernel(const SoftmaxBackwardArgs<T>& a) noexcept {
  backward<LogSoftmaxGradient<T>>(a);
}

}  // namespace
}  // namespace fastnn
