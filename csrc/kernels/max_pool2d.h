// Max pooling of planes; padding counts as -infinity. Backward goes through each plane of dx once: it zeroes elements
// shortly before the first window reaches them, and adds the gradients in the order of the windows.
#pragma once

#include "kernels/args/max_pool2d.h"
#include "kernels/parallel.h"
#include "steps/pool.h"

namespace fastnn {
namespace {

// The number of windows processed side by side.
constexpr Index kWindows = 8;

template <class T>
struct Found {
  using Place = T;  // as wide as the values, so that both fill the same lanes on every instruction set
  T values[kWindows];
  Place places[kWindows];

  // Writes the first `count` results. The pragmas are needed since a byte store may alias anything, even `index`.
  void write(T* y, std::uint8_t* index, Index count) const {
#pragma omp simd
    for (Index i = 0; i < count; ++i) y[i] = values[i];
    if (!index) return;
#pragma omp simd
    for (Index i = 0; i < count; ++i) index[i] = std::uint8_t(places[i]);
  }
};

// Pools windows within the plane whose size is known at compile time, so that neighbours share loads.
template <Index size, Index stride, class T>
inline Found<T> pool_known(const T* x, Index distance) {
  Found<T> found;
#pragma omp simd
  for (Index i = 0; i < kWindows; ++i) {
    T largest = T(-__builtin_inf());
    typename Found<T>::Place at = 0;
    for (Index row = 0; row < size; ++row) {
      for (Index column = 0; column < size; ++column) {
        take_larger(largest, at, x[row * distance + i * stride + column], typename Found<T>::Place(row * size + column));
      }
    }
    found.values[i] = largest;
    found.places[i] = at;
  }
  return found;
}

// Pools windows of any size in these rows of the plane x; the first window begins at column `begin`. With `at_ends`,
// some of them may begin before the plane or end after it.
template <bool at_ends, class T>
inline Found<T> pool_any(const PoolAxis& width, Index begin, const T* x, PoolAxis::Part rows) {
  using Place = typename Found<T>::Place;
  Found<T> found;
  Index place = rows.skipped * width.window;
  for (Index i = 0; i < kWindows; ++i) {
    found.values[i] = T(-__builtin_inf());
    found.places[i] = Place(place);
    if (at_ends && begin + i * width.stride < 0) found.places[i] -= Place(begin + i * width.stride);
  }
  x += rows.begin * width.size;
  for (Index row = rows.begin; row < rows.end; ++row, x += width.size) {
    for (Index column = begin; column < begin + width.window; ++column, ++place) {
      T values[kWindows];
      for (Index i = 0; i < kWindows; ++i) {
        const Index at = column + i * width.stride;
        values[i] = !at_ends || (0 <= at && at < width.size) ? x[at] : T(-__builtin_inf());
      }
#pragma omp simd
      for (Index i = 0; i < kWindows; ++i) take_larger(found.values[i], found.places[i], values[i], Place(place));
    }
  }
  return found;
}

// Computes a row of outputs of the plane x, from number `output` on. If kWindows does not divide the row, the last
// windows are computed twice.
template <bool known, class T>
inline void pool_row(const MaxPool2dArgs<T>& a, Index output, const T* x, PoolAxis::Part rows) {
  const PoolAxis width = a.width;
  T* y = a.y + output;
  const Index n = width.outputs, count = known || n > kWindows ? kWindows : n;
  for (Index i = 0; i < n; i += kWindows) {
    const Index first = i + count <= n ? i : n - count, begin = first * width.stride - width.padding;
    std::uint8_t* to = a.index ? a.index + output + first : nullptr;
    if constexpr (known) {
      pool_known<2, 2>(x + rows.begin * width.size + 2 * first, width.size).write(y + first, to, kWindows);
    } else if (0 <= begin && begin + (kWindows - 1) * width.stride + width.window <= width.size) {
      pool_any<false>(width, begin, x, rows).write(y + first, to, kWindows);
    } else {
      pool_any<true>(width, begin, x, rows).write(y + first, to, count);
    }
  }
}

template <bool known, class T>
inline void pool_rows(const MaxPool2dArgs<T>& a) {
  const Index plane = a.height.size * a.width.size;
  for_each_range(a.planes * a.height.outputs, plane / a.height.outputs, [=, &a](Index begin, Index end) {
    for (Index row = begin; row < end; ++row) {
      const T* x = a.x + row / a.height.outputs * plane;
      pool_row<known>(a, row * a.width.outputs, x, a.height.part(row % a.height.outputs));
    }
  });
}

template <class T>
void max_pool2d_kernel(const MaxPool2dArgs<T>& a) noexcept {
  const auto apart = [](const PoolAxis& axis) { return axis.window == 2 && axis.stride == 2 && axis.padding == 0; };
  if (apart(a.height) && apart(a.width) && a.width.outputs >= kWindows) return pool_rows<true>(a);
  pool_rows<false>(a);
}

template <class T>
inline void pool_plane_backward(const MaxPool2dBackwardArgs<T>& a, const Index* offsets, Index plane) {
  constexpr Index kAtOnce = 2048;
  const PoolAxis height = a.height, width = a.width;
  const Index size = height.size * width.size, outputs = plane * height.outputs * width.outputs;
  T* dx = a.dx + plane * size;
  const T* dy = a.dy + outputs;
  const std::uint8_t* index = a.index + outputs;
  Index zeroed = 0;
  const auto zero_until = [&](Index end) {
    for (; zeroed < end; ++zeroed) dx[zeroed] = 0;
  };
  for (Index row = 0; row < height.outputs; ++row, dy += width.outputs, index += width.outputs) {
    const Index needed = height.part(row).end * width.size;
    if (needed > zeroed) zero_until(needed + kAtOnce < size ? needed + kAtOnce : size);
    const Index corner = (row * height.stride - height.padding) * width.size - width.padding;
    for (Index i = 0; i < width.outputs; ++i) {
      const Index to = corner + i * width.stride + offsets[index[i]];
      dx[std::uint64_t(to) < std::uint64_t(size) ? to : 0] += dy[i];
    }
  }
  zero_until(size);
}

template <class T>
void max_pool2d_backward_kernel(const MaxPool2dBackwardArgs<T>& a) noexcept {
  for_each_range(a.planes, a.height.size * a.width.size, [=, &a](Index begin, Index end) {
    Index offsets[256];
    for (Index place = 0; place < 256; ++place) {
      offsets[place] = place / a.width.window * a.width.size + place % a.width.window;
    }
    for (Index plane = begin; plane < end; ++plane) pool_plane_backward(a, offsets, plane);
  });
}

}  // namespace
}  // namespace fastnn
