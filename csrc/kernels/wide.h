// Sums of floats, and of their squares, in 16 double lanes (lanes.h). The vectors are written out because GCC 12 keeps
// two sums of a plain loop in memory, depending on the code around it: layer norm took 0.27 instead of 0.21 ns per
// element (Zen 4). The square of a float is exact in double, so a fused and a separate addition have the same bits.
#pragma once

#include "kernels/lanes.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace fastnn {
namespace {

#if defined(__AVX512F__)
using Doubles = __m512d;
// The masked form, because GCC 12 warns of an uninitialised value inside the unmasked one.
inline Doubles widen(const float* x) { return _mm512_maskz_cvtps_pd(0xff, _mm256_loadu_ps(x)); }
inline Doubles add_square(Doubles sum, Doubles x) { return _mm512_fmadd_pd(x, x, sum); }
#elif defined(__AVX2__)
using Doubles = __m256d;
inline Doubles widen(const float* x) { return _mm256_cvtps_pd(_mm_loadu_ps(x)); }
inline Doubles add_square(Doubles sum, Doubles x) { return _mm256_fmadd_pd(x, x, sum); }
#else
using Doubles = double __attribute__((vector_size(16)));
inline Doubles widen(const float* x) { return Doubles{x[0], x[1]}; }
inline Doubles add_square(Doubles sum, Doubles x) { return sum + x * x; }
#endif

constexpr int kWidth = sizeof(Doubles) / sizeof(double), kVectors = int(kLanes) / kWidth;

// sum() of the elements of x themselves.
template <class Ahead>
inline double sum_of(const float* x, Index n, Ahead ahead) {
  Doubles sums[kVectors] = {};
  Index i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    ahead(i);
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) sums[v] += widen(x + i + v * kWidth);
  }
  double lanes[kLanes], rest = 0;
  __builtin_memcpy(lanes, sums, sizeof lanes);
  for (; i < n; ++i) rest += double(x[i]);
  fold(lanes);
  return lanes[0] + rest;
}

template <class Ahead>
inline double sum_of(const double* x, Index n, Ahead ahead) {
  return sum(n, [=](Index i) { return x[i]; }, ahead);
}

// power_sums() of a part of a run.
inline Pair part_power_sums(const float* x, Index n) {
  Doubles sums[kVectors] = {}, squares[kVectors] = {};
  Index i = 0;
  for (; i + kLanes <= n; i += kLanes) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      const Doubles d = widen(x + i + v * kWidth);
      sums[v] += d;
      squares[v] = add_square(squares[v], d);
    }
  }
  double first[kLanes], second[kLanes];
  __builtin_memcpy(first, sums, sizeof first);
  __builtin_memcpy(second, squares, sizeof second);
  Pair rest = {};
  for (; i < n; ++i) {
    rest.first += double(x[i]);
    rest.second += double(x[i]) * double(x[i]);
  }
  fold(first);
  fold(second);
  return {first[0] + rest.first, second[0] + rest.second};
}

// Returns the sums of x and of x^2. Long runs are summed in parts: the low bits of a square are not random (an odd
// square is 1 modulo 8), so that its rounding has a bias, which would grow with the number of terms in a lane.
inline Pair power_sums(const float* x, Index n) {
  constexpr Index kPart = 2048;
  Pair sums = {};
  for (Index i = 0; i < n; i += kPart) {
    const Pair part = part_power_sums(x + i, n - i < kPart ? n - i : kPart);
    sums.first += part.first;
    sums.second += part.second;
  }
  return sums;
}

}  // namespace
}  // namespace fastnn
