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

struct Lanes {
  double first[kLanes] = {}, second[kLanes] = {};
  Pair rest = {};  // what does not fill the lanes: as scalars, since a vector load of them would wait for their stores
};

// Adds both parts of term(i) -> Pair, i in [0, n).
template <class Term>
inline void add_pairs(Lanes& lanes, Index n, Term term) {
  double *first = lanes.first, *second = lanes.second;
  Index i = 0;
  for (; i + kLanes <= n; i += kLanes) {
#pragma omp simd
    for (Index lane = 0; lane < kLanes; ++lane) {
      const Pair t = term(i + lane);
      first[lane] += t.first;
      second[lane] += t.second;
    }
  }
  Pair rest = lanes.rest;
  for (; i < n; ++i) {
    const Pair t = term(i);
    rest.first += t.first;
    rest.second += t.second;
  }
  lanes.rest = rest;
}

inline Pair folded(Lanes lanes) {
  for (Index half = kLanes / 2; half > 0; half /= 2) {
    for (Index lane = 0; lane < half; ++lane) {
      lanes.first[lane] += lanes.first[lane + half];
      lanes.second[lane] += lanes.second[lane + half];
    }
  }
  return {lanes.first[0] + lanes.rest.first, lanes.second[0] + lanes.rest.second};
}

template <class Term>
inline Pair sum_pairs(Index n, Term term) {
  Lanes lanes;
  add_pairs(lanes, n, term);
  return folded(lanes);
}

template <class Term>
inline double sum(Index n, Term term) {
  return sum_pairs(n, [=](Index i) { return Pair{term(i), 0.0}; }).first;
}

}  // namespace
}  // namespace fastnn
