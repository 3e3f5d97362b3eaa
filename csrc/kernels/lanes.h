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

// The sum of term(i) over `runs` runs of n, `distance` apart. What does not fill the lanes is added as scalars: a vector
// load of lanes would wait for scalar stores into them.
template <class Term>
inline double sum_runs(Index runs, Index distance, Index n, Term term) {
  double lanes[kLanes] = {}, rest = 0;
  for (Index run = 0; run < runs; ++run) {
    Index i = run * distance;
    const Index end = i + n;
    for (; i + kLanes <= end; i += kLanes) {
#pragma omp simd
      for (Index lane = 0; lane < kLanes; ++lane) lanes[lane] += term(i + lane);
    }
    for (; i < end; ++i) rest += term(i);
  }
  for (Index half = kLanes / 2; half > 0; half /= 2) {
    for (Index lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
  }
  return lanes[0] + rest;
}

struct PairLanes {
  double first[kLanes] = {}, second[kLanes] = {};
};

inline Pair folded(PairLanes lanes) {
  for (Index half = kLanes / 2; half > 0; half /= 2) {
    for (Index lane = 0; lane < half; ++lane) {
      lanes.first[lane] += lanes.first[lane + half];
      lanes.second[lane] += lanes.second[lane + half];
    }
  }
  return {lanes.first[0], lanes.second[0]};
}

// Both sums of term(i) -> Pair in one sweep.
template <class Term>
inline Pair sum_runs_of_pairs(Index runs, Index distance, Index n, Term term) {
  PairLanes lanes;
  Pair rest = {};
  double *first = lanes.first, *second = lanes.second;
  for (Index run = 0; run < runs; ++run) {
    Index i = run * distance;
    const Index end = i + n;
    for (; i + kLanes <= end; i += kLanes) {
#pragma omp simd
      for (Index lane = 0; lane < kLanes; ++lane) {
        const Pair t = term(i + lane);
        first[lane] += t.first;
        second[lane] += t.second;
      }
    }
    for (; i < end; ++i) {
      const Pair t = term(i);
      rest.first += t.first;
      rest.second += t.second;
    }
  }
  const Pair total = folded(lanes);
  return {total.first + rest.first, total.second + rest.second};
}

template <class Term>
inline double sum(Index n, Term term) {
  return sum_runs(1, 0, n, term);
}

template <class Term>
inline Pair sum_pairs(Index n, Term term) {
  return sum_runs_of_pairs(1, 0, n, term);
}

}  // namespace
}  // namespace fastnn
