// Mean and biased variance of a run of elements, in two passes: E[x^2] - mean^2 would cancel, and overflow at 1e30.
#pragma once

#include "kernels/lanes.h"
#include "kernels/prefetch.h"

namespace fastnn {
namespace {

struct MeanVariance {
  double mean, variance;
};

// The second pass reads x from cache, and prefetches as many elements after it: runs are contiguous.
template <class T>
inline MeanVariance mean_variance(const T* x, Index n) {
  const double mean = sum(n, [=](Index i) { return double(x[i]); }) / double(n);
  const double squares = sum(
      n, [=](Index i) { return (double(x[i]) - mean) * (double(x[i]) - mean); },
      [=](Index i) { prefetch(x + n + i, kLanes); });
  return {mean, squares / double(n)};
}

template <class T>
inline double mean_square(const T* x, Index n) {
  return sum(n, [=](Index i) { return double(x[i]) * double(x[i]); }) / double(n);
}

}  // namespace
}  // namespace fastnn
