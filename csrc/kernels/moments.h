// Mean and biased variance of a run of elements. For floats one pass in double computes both, from sums of x and of x^2,
// whose terms are exact and cannot overflow. Where E[x^2] - mean^2 cancels, and for doubles, a second pass sums squared
// deviations from the mean.
#pragma once

#include "kernels/prefetch.h"
#include "kernels/wide.h"

namespace fastnn {
namespace {

struct MeanVariance {
  double mean, variance;
};

// Returns whether E[x^2] - mean^2 has kept the digits of a variance: at most 4 of its 53 bits cancel. False for NaN.
inline bool is_spread(double mean, double variance) { return mean * mean <= 16 * variance; }

// Returns the sum of squared deviations from the mean. Reads x from cache, and prefetches as many elements after it: runs
// are contiguous.
template <class T>
inline double squared_deviations(const T* x, Index n, double mean) {
  return sum(
      n, [=](Index i) { return (double(x[i]) - mean) * (double(x[i]) - mean); },
      [=](Index i) { prefetch(x + n + i, kLanes); });
}

template <class T>
inline MeanVariance mean_variance(const T* x, Index n) {
  if constexpr (sizeof(T) == sizeof(float)) {
    const Pair sums = power_sums(x, n);
    const double mean = sums.first / double(n), variance = (sums.second - sums.first * mean) / double(n);
    if (is_spread(mean, variance)) return {mean, variance};
    return {mean, squared_deviations(x, n, mean) / double(n)};
  } else {
    const double mean = sum(n, [=](Index i) { return double(x[i]); }) / double(n);
    return {mean, squared_deviations(x, n, mean) / double(n)};
  }
}

template <class T>
inline double mean_square(const T* x, Index n) {
  if constexpr (sizeof(T) == sizeof(float)) return power_sums(x, n).second / double(n);
  return sum(n, [=](Index i) { return double(x[i]) * double(x[i]); }) / double(n);
}

}  // namespace
}  // namespace fastnn
