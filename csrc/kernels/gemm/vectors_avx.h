// Vectors of AVX2 and AVX-512: see vectors.h.
#pragma once

#include <immintrin.h>

#include "kernels/args/common.h"

namespace fastnn {
namespace {

// 32 bytes. AVX-512 transposes with these too: its own shuffles are not faster.
template <class T>
struct Half;

template <>
struct Half<float> {
  using V = __m256;
  static constexpr int kWidth = 8;
  static V zero() { return _mm256_setzero_ps(); }
  static V load(const float* p) { return _mm256_loadu_ps(p); }
  static V load(const float* p, Index n) { return _mm256_maskload_ps(p, first(n)); }
  static void store(float* p, V v) { _mm256_storeu_ps(p, v); }
  static void store(float* p, V v, Index n) { _mm256_maskstore_ps(p, first(n), v); }
  static __m256i first(Index n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(int(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  static V broadcast(float x) { return _mm256_set1_ps(x); }
  static V add(V a, V b) { return _mm256_add_ps(a, b); }
  static V fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }

  static void turn(V (&to)[8], const float* from, Index row) {
    V a[8], b[8];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {  // rows i and i + 4 side by side
      const float *low = from + i * row, *high = from + (i + 4) * row;
      a[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(low)), _mm_loadu_ps(high), 1);
      a[i + 4] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(low + 4)), _mm_loadu_ps(high + 4), 1);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 8; i += 2) {
      b[i] = _mm256_unpacklo_ps(a[i], a[i + 1]);
      b[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 8; i += 4) {
      to[i] = _mm256_shuffle_ps(b[i], b[i + 2], 0x44);
      to[i + 1] = _mm256_shuffle_ps(b[i], b[i + 2], 0xee);
      to[i + 2] = _mm256_shuffle_ps(b[i + 1], b[i + 3], 0x44);
      to[i + 3] = _mm256_shuffle_ps(b[i + 1], b[i + 3], 0xee);
    }
  }
};

template <>
struct Half<double> {
  using V = __m256d;
  static constexpr int kWidth = 4;
  static V zero() { return _mm256_setzero_pd(); }
  static V load(const double* p) { return _mm256_loadu_pd(p); }
  static V load(const double* p, Index n) { return _mm256_maskload_pd(p, first(n)); }
  static void store(double* p, V v) { _mm256_storeu_pd(p, v); }
  static void store(double* p, V v, Index n) { _mm256_maskstore_pd(p, first(n), v); }
  static __m256i first(Index n) {
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
  }
  static V broadcast(double x) { return _mm256_set1_pd(x); }
  static V add(V a, V b) { return _mm256_add_pd(a, b); }
  static V fma(V a, V b, V c) { return _mm256_fmadd_pd(a, b, c); }

  static void turn(V (&to)[4], const double* from, Index row) {
    V a[4];
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i) {  // rows i and i + 2 side by side
      const double *low = from + i * row, *high = from + (i + 2) * row;
      a[i] = _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(low)), _mm_loadu_pd(high), 1);
      a[i + 2] = _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(low + 2)), _mm_loadu_pd(high + 2), 1);
    }
    to[0] = _mm256_unpacklo_pd(a[0], a[1]);
    to[1] = _mm256_unpackhi_pd(a[0], a[1]);
    to[2] = _mm256_unpacklo_pd(a[2], a[3]);
    to[3] = _mm256_unpackhi_pd(a[2], a[3]);
  }
};

#if defined(__AVX512F__)

template <class T>
struct Vectors;

template <>
struct Vectors<float> {
  using V = __m512;
  using Turn = Half<float>;
  static constexpr int kWidth = 16, kRows = 14, kVectors = 2;
  static V zero() { return _mm512_setzero_ps(); }
  static V load(const float* p) { return _mm512_loadu_ps(p); }
  static V load(const float* p, Index n) { return _mm512_maskz_loadu_ps(__mmask16((1u << n) - 1), p); }
  static void store(float* p, V v) { _mm512_storeu_ps(p, v); }
  static void store(float* p, V v, Index n) { _mm512_mask_storeu_ps(p, __mmask16((1u << n) - 1), v); }
  static V broadcast(float x) { return _mm512_set1_ps(x); }
  static V add(V a, V b) { return _mm512_add_ps(a, b); }
  static V fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
};

template <>
struct Vectors<double> {
  using V = __m512d;
  using Turn = Half<double>;
  static constexpr int kWidth = 8, kRows = 14, kVectors = 2;
  static V zero() { return _mm512_setzero_pd(); }
  static V load(const double* p) { return _mm512_loadu_pd(p); }
  static V load(const double* p, Index n) { return _mm512_maskz_loadu_pd(__mmask8((1u << n) - 1), p); }
  static void store(double* p, V v) { _mm512_storeu_pd(p, v); }
  static void store(double* p, V v, Index n) { _mm512_mask_storeu_pd(p, __mmask8((1u << n) - 1), v); }
  static V broadcast(double x) { return _mm512_set1_pd(x); }
  static V add(V a, V b) { return _mm512_add_pd(a, b); }
  static V fma(V a, V b, V c) { return _mm512_fmadd_pd(a, b, c); }
};

#else

template <class T>
struct Vectors : Half<T> {
  using Turn = Half<T>;
  static constexpr int kRows = 6, kVectors = 2;
};

#endif

}  // namespace
}  // namespace fastnn
