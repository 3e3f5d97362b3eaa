// Sums with a fixed order: lane i % 16 takes term i, the lanes are folded in halves, and the n % 16 last terms are added
// one by one: stored into lanes as scalars and loaded again as vectors they would stall. The order is the same whether a
// vector holds two doubles or eight, and so are the bits.
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
  for (Index half = kLanes / 2; half > 0; half /= 2) {
    for (Index lane = 0; lane < half; ++lane) {
      first[lane] += first[lane + half];
      second[lane] += second[lane + half];
    }
  }
  Pair total = {first[0], second[0]};
  for (; i < n; ++i) {
    const Pair t = term(i);
    total.first += t.first;
    total.second += t.second;
  }
  return total;
}

template <class Term>
inline double sum(Index n, Term term) {
  return sum_pairs(n, [=](Index i) { return Pair{term(i), 0.0}; }).first;
}

}  // namespace
}  // namespace fastnn
