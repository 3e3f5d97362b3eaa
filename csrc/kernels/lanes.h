// Sums with a fixed order: lane i % 16 takes term i, and the lanes are folded in halves. The order is the same
// whether a vector holds two doubles or eight, and so are the bits.
#pragma once

#include "kernels/args.h"

namespace fastnn {
namespace {

constexpr Index kLanes = 16;

struct Pair {
  double first, second;
};

// Both sums of term(i) -> Pair in one sweep, i in [0, n).
template <class Term>
inline Pair sum_pairs(Index n, Term term) {
  double first[kLanes] = {}, second[kLanes] = {};
  Index i = 0;
  for (; i + kLanes <= n; i += kLanes) {
#pragma omp simd
    for (Index lane = 0; lane < kLanes; ++lane) {
      const Pair t = term(i + lane);
      first[lane] += t.first;
      second[lane] += t.second;
    }
  }
  for (Index lane = 0; i + lane < n; ++lane) {
    const Pair t = term(i + lane);
    first[lane] += t.first;
    second[lane] += t.second;
  }
  for (Index half = kLanes / 2; half > 0; half /= 2) {
    for (Index lane = 0; lane < half; ++lane) {
      first[lane] += first[lane + half];
      second[lane] += second[lane + half];
    }
  }
  return {first[0], second[0]};
}

template <class Term>
inline double sum(Index n, Term term) {
  return sum_pairs(n, [=](Index i) { return Pair{term(i), 0.0}; }).first;
}

}  // namespace
}  // namespace fastnn
