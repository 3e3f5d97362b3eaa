// Adds up sums over rows that were computed in parts.
#pragma once

#include "kernels/parallel.h"

namespace fastnn {
namespace {

// sums[i] = the sum of partial[part * distance + i] over the parts in their order, in double, for i in [0, n).
template <class T, class Part>
inline void add_parts(T* sums, const Part* partial, Index parts, Index distance, Index n) {
  for_each_range(n, parts, [=](Index begin, Index end) {
    constexpr Index kPartColumns = 64;
    for (Index first = begin; first < end; first += kPartColumns) {
      const Index width = end - first < kPartColumns ? end - first : kPartColumns;
      double total[kPartColumns] = {};
      for (Index part = 0; part < parts; ++part) {
        const Part* one = partial + part * distance + first;
#pragma omp simd
        for (Index i = 0; i < width; ++i) total[i] += double(one[i]);
      }
      for (Index i = 0; i < width; ++i) sums[first + i] = T(total[i]);
    }
  });
}

}  // namespace
}  // namespace fastnn
