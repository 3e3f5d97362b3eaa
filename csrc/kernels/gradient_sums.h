// The two sums over elements that the gradient of a norm needs: of g, and of g times the normalised element.
#pragma once

#include "kernels/lanes.h"

namespace fastnn {
namespace {

template <class T>
struct Terms {
  T g, normalised;
};

// Each float lane takes this many terms before the lanes are folded into four of doubles: few enough that their rounding
// errors stay below those of the terms themselves.
constexpr Index kFloatTerms = 8, kWideLanes = 4;

inline bool is_finite(double x) { return x - x == 0; }

// Sums term(i) -> Terms<T> for i in [0, n). Floats are first summed as floats; if that overflows, again as doubles.
template <class T, class Term>
inline Pair gradient_sums(Index n, Term term) {
  const auto wide_term = [=](Index i) {
    const Terms<T> t = term(i);
    return Pair{double(t.g), double(t.g * t.normalised)};
  };
  if constexpr (sizeof(T) != sizeof(float)) return sum_pairs(n, wide_term);
  struct {
    T first[kLanes], second[kLanes];
  } lanes;
  T *first = lanes.first, *second = lanes.second;
  double wide_first[kWideLanes] = {}, wide_second[kWideLanes] = {};
  Index i = 0;
  while (i + kLanes <= n) {
#pragma omp simd
    for (Index lane = 0; lane < kLanes; ++lane) first[lane] = second[lane] = 0;
    const Index end = i + kFloatTerms * kLanes < n ? i + kFloatTerms * kLanes : n;
    for (; i + kLanes <= end; i += kLanes) {
#pragma omp simd
      for (Index lane = 0; lane < kLanes; ++lane) {
        const Terms<T> t = term(i + lane);
        first[lane] += t.g;
        second[lane] += t.g * t.normalised;
      }
    }
    fold<kLanes, kWideLanes>(first);
    fold<kLanes, kWideLanes>(second);
#pragma omp simd
    for (Index lane = 0; lane < kWideLanes; ++lane) {
      wide_first[lane] += double(first[lane]);
      wide_second[lane] += double(second[lane]);
    }
  }
  Pair rest = {};
  for (; i < n; ++i) {
    const Pair t = wide_term(i);
    rest.first += t.first;
    rest.second += t.second;
  }
  fold<kWideLanes>(wide_first);
  fold<kWideLanes>(wide_second);
  const Pair sums = {wide_first[0] + rest.first, wide_second[0] + rest.second};
  return is_finite(sums.first) && is_finite(sums.second) ? sums : sum_pairs(n, wide_term);
}

}  // namespace
}  // namespace fastnn
