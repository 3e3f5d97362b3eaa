// Sums with a fixed order: lane i % 16 adds term i, and the lanes are folded in halves. The order, and so the bits, are
// the same whether a vector holds two doubles or eight.
#pragma once

#include "kernels/args/common.h"

namespace fastnn {
namespace {

constexpr Index kLanes = 16;

struct Pair {
  double first, second;
};

// Adds `from` lanes into the first `to`, in halves. A recursion with steps of known length, since a loop over them would
// go through memory.
template <Index from = kLanes, Index to = 1, class T>
inline void fold(T* lanes) {
  constexpr Index half = from / 2;
#pragma omp simd
  for (Index lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
  if constexpr (half > to) fold<half, to>(lanes);
}

// Returns the sum of term(i) for i in [0, n); calls ahead(i) before each 16 of them. The terms that do not fill the
// lanes are added as scalars: a vector load of the lanes would wait for scalar stores into them.
template <class Term, class Ahead>
inline double sum(Index n, Term term, Ahead ahead) {
  double lanes[kLanes] = {}, rest = 0;
  Index i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    ahead(i);
#pragma omp simd
    for (Index lane = 0; lane < kLanes; ++lane) lanes[lane] += term(i + lane);
  }
  for (; i < n; ++i) rest += term(i);
  fold(lanes);
  return lanes[0] + rest;
}

template <class Term>
inline double sum(Index n, Term term) {
  return sum(n, term, [](Index) {});
}

// Returns both sums of term(i) -> Pair in one pass. GCC 12 keeps two sums in registers only as a struct, and one sum
// only as an array.
template <class Term>
inline Pair sum_pairs(Index n, Term term) {
  struct {
    double first[kLanes] = {}, second[kLanes] = {};
  } lanes;
  Pair rest = {};
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
  for (; i < n; ++i) {
    const Pair t = term(i);
    rest.first += t.first;
    rest.second += t.second;
  }
  fold(first);
  fold(second);
  return {first[0] + rest.first, second[0] + rest.second};
}

}  // namespace
}  // namespace fastnn
