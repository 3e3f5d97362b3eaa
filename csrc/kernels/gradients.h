// Passes over a list of gradients: the sum of their squares, and scaling or clamping them in place. There is one
// partial sum for each range of the list, so the sum has the same bits for any number of threads.
#pragma once

#include "kernels/lanes.h"
#include "kernels/pieces.h"
#include "kernels/storage.h"

namespace fastnn {
namespace {

// Calls body(elements, n) for chunks of every piece of the gradients in a range; body returns whether it changed them.
template <class Storage, class Body>
inline void for_each_gradient_chunk(const GradientArgs& a, Index first, Index last, Body body) {
  constexpr Index kMost = Storage::kConverts ? kQuarter : kBlockElements;
  for_each_piece(a.segments, a.count, first, last, [=](const GradientSegment& s, Index begin, Index end, Index) {
    typename Storage::Real buffer[Storage::kConverts ? kQuarter : 1];
    for (; begin < end; begin += kMost) {
      const Index n = end - begin < kMost ? end - begin : kMost;
      auto* g = Storage::open(s.grad, begin, n, buffer);
      if (body(g, n)) Storage::close(s.grad, begin, n, g);
    }
  });
}

template <class Storage>
void sum_squares_kernel(const GradientArgs& a) noexcept {
  if (a.count == 0) return;
  for_each_range(a.segments[a.count - 1].end, 1, [&a](Index first, Index last) {
    double total = 0;
    for_each_gradient_chunk<Storage>(a, first, last, [&total](const auto* g, Index n) {
      total += sum(n, [=](Index i) { return double(g[i]) * double(g[i]); });
      return false;
    });
    a.partial[first / kBlockElements] = total;
  });
}

template <class Storage>
void scale_kernel(const GradientArgs& a) noexcept {
  if (a.count == 0) return;
  using T = typename Storage::Real;
  for_each_range(a.segments[a.count - 1].end, 1, [&a, factor = T(a.low)](Index first, Index last) {
    for_each_gradient_chunk<Storage>(a, first, last, [=](T* g, Index n) {
#pragma omp simd
      for (Index i = 0; i < n; ++i) g[i] *= factor;
      return true;
    });
  });
}

// NaN stays NaN: it is neither below `low` nor above `high`.
template <class Storage>
void clamp_kernel(const GradientArgs& a) noexcept {
  if (a.count == 0) return;
  using T = typename Storage::Real;
  for_each_range(a.segments[a.count - 1].end, 1, [&a, low = T(a.low), high = T(a.high)](Index first, Index last) {
    for_each_gradient_chunk<Storage>(a, first, last, [=](T* g, Index n) {
#pragma omp simd
      for (Index i = 0; i < n; ++i) g[i] = g[i] < low ? low : (g[i] > high ? high : g[i]);
      return true;
    });
  });
}

}  // namespace
}  // namespace fastnn
