// Access patterns with next to no arithmetic, to measure what the memory allows a kernel with the same pattern.
// `updates` arrays are read and written, `writes` arrays only written, `reads` arrays only read.
#pragma once

#include "kernels/args/stream.h"
#include "kernels/lanes.h"
#include "kernels/parallel.h"

namespace fastnn {
namespace {

template <int updates, int writes, int reads, class T>
inline void stream_pattern(const StreamArgs<T>& a) noexcept {
  T* const u[3] = {a.updated[0], a.updated[1], a.updated[2]};
  const T* const r[2] = {a.read[0], a.read[1]};
  T* const w = a.written;
  for_each_range(a.size, 1, [=](Index begin, Index end) {
#pragma omp simd
    for (Index i = begin; i < end; ++i) {
      T value = T(1);
      for (int k = 0; k < reads; ++k) value += r[k][i];
      for (int k = 0; k < updates; ++k) u[k][i] += value;
      if (writes) w[i] = value;
    }
  });
}

// The compiler would remove an unused sum; the empty assembly counts as a use.
template <class T>
inline void stream_reads(const StreamArgs<T>& a) noexcept {
  const T* x = a.read[0];
  for_each_range(a.size, 1, [=](Index begin, Index end) {
    T lanes[4 * kLanes] = {};
    for (; begin + 4 * kLanes <= end; begin += 4 * kLanes) {
#pragma omp simd
      for (Index lane = 0; lane < 4 * kLanes; ++lane) lanes[lane] += x[begin + lane];
    }
    for (T& lane : lanes) __asm__ volatile("" : : "m"(lane));
  });
}

template <class T>
void stream_kernel(const StreamArgs<T>& a) noexcept {
  switch (100 * a.updates + 10 * a.writes + a.reads) {
    case 100: return stream_pattern<1, 0, 0>(a);
    case 101: return stream_pattern<1, 0, 1>(a);
    case 201: return stream_pattern<2, 0, 1>(a);
    case 301: return stream_pattern<3, 0, 1>(a);
    case 10: return stream_pattern<0, 1, 0>(a);
    case 11: return stream_pattern<0, 1, 1>(a);
    case 12: return stream_pattern<0, 1, 2>(a);
    default: return stream_reads(a);
  }
}

}  // namespace
}  // namespace fastnn
