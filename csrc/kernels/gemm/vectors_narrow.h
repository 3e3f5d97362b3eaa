// Vectors of 16 bytes: NEON, and SSE2 or plain C++ with fused emulated. See vectors.h.
#pragma once

#include "kernels/args/common.h"
#include "steps/portable.h"

#if defined(__aarch64__)
#include <arm_neon.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace fastnn {
namespace {

template <class T>
struct Vectors;

// What has no instruction of its own.
template <class Own, class T, int width>
struct Plainly {
  static auto load(const T* p, Index n) {
    T lanes[width] = {};
    for (Index i = 0; i < n; ++i) lanes[i] = p[i];
    return Own::load(lanes);
  }
  template <class V>
  static void store(T* p, V v, Index n) {
    T lanes[width];
    Own::store(lanes, v);
    for (Index i = 0; i < n; ++i) p[i] = lanes[i];
  }
  template <class V>
  static void turn(V (&to)[width], const T* from, Index row) {
    T column[width];
    for (Index j = 0; j < width; ++j) {
      for (Index i = 0; i < width; ++i) column[i] = from[i * row + j];
      to[j] = Own::load(column);
    }
  }
};

#if defined(__aarch64__)

template <>
struct Vectors<float> : Plainly<Vectors<float>, float, 4> {
  using V = float32x4_t;
  using Plainly::load, Plainly::store;
  using Turn = Vectors;
  static constexpr int kWidth = 4, kRows = 8, kVectors = 2;
  static V zero() { return vdupq_n_f32(0); }
  static V load(const float* p) { return vld1q_f32(p); }
  static void store(float* p, V v) { vst1q_f32(p, v); }
  static V broadcast(float x) { return vdupq_n_f32(x); }
  static V add(V a, V b) { return vaddq_f32(a, b); }
  static V fma(V a, V b, V c) { return vfmaq_f32(c, a, b); }
};

template <>
struct Vectors<double> : Plainly<Vectors<double>, double, 2> {
  using V = float64x2_t;
  using Plainly::load, Plainly::store;
  using Turn = Vectors;
  static constexpr int kWidth = 2, kRows = 8, kVectors = 2;
  static V zero() { return vdupq_n_f64(0); }
  static V load(const double* p) { return vld1q_f64(p); }
  static void store(double* p, V v) { vst1q_f64(p, v); }
  static V broadcast(double x) { return vdupq_n_f64(x); }
  static V add(V a, V b) { return vaddq_f64(a, b); }
  static V fma(V a, V b, V c) { return vfmaq_f64(c, a, b); }
};

#else

// The emulation of fused needs all registers, so a tile is small.
template <class T>
struct Vectors : Plainly<Vectors<T>, T, 4> {
  using Turn = Vectors;
  static constexpr int kWidth = 4, kRows = 4, kVectors = 1;
  struct V {
    T lanes[kWidth];
  };
  using Plainly<Vectors<T>, T, 4>::load, Plainly<Vectors<T>, T, 4>::store;
  static V zero() { return {}; }
  static V load(const T* p) { return {{p[0], p[1], p[2], p[3]}}; }
  static void store(T* p, V v) {
    for (int i = 0; i < kWidth; ++i) p[i] = v.lanes[i];
  }
  static V broadcast(T x) { return {{x, x, x, x}}; }
  static V add(V a, V b) {
    for (int i = 0; i < kWidth; ++i) a.lanes[i] += b.lanes[i];
    return a;
  }
  static V fma(V a, V b, V c) {
#pragma omp simd
    for (int i = 0; i < kWidth; ++i) c.lanes[i] = fused(a.lanes[i], b.lanes[i], c.lanes[i]);
    return c;
  }
};

#if defined(__SSE2__)

// The emulation of fused, two elements at a time.
template <>
struct Vectors<float> : Plainly<Vectors<float>, float, 4> {
  using V = __m128;
  using Turn = Vectors;
  using Plainly::load, Plainly::store;
  static constexpr int kWidth = 4, kRows = 4, kVectors = 1;
  static V zero() { return _mm_setzero_ps(); }
  static V load(const float* p) { return _mm_loadu_ps(p); }
  static void store(float* p, V v) { _mm_storeu_ps(p, v); }
  static V broadcast(float x) { return _mm_set1_ps(x); }
  static V add(V a, V b) { return _mm_add_ps(a, b); }
  static V fma(V a, V b, V c) {
    const auto high = [](V v) { return _mm_movehl_ps(v, v); };
    return _mm_movelh_ps(two(a, b, c), two(high(a), high(b), high(c)));
  }

  static V two(V a, V b, V c) {
    const __m128d product = _mm_mul_pd(_mm_cvtps_pd(a), _mm_cvtps_pd(b)), addend = _mm_cvtps_pd(c);
    const __m128d sum = _mm_add_pd(product, addend), part = _mm_sub_pd(sum, product);
    const __m128d error = _mm_add_pd(_mm_sub_pd(product, _mm_sub_pd(sum, part)), _mm_sub_pd(addend, part));
    const __m128i bits = _mm_castpd_si128(sum), one = _mm_set1_epi64x(1);
    const __m128i opposite = _mm_srli_epi64(_mm_castpd_si128(_mm_xor_pd(error, sum)), 63);
    const __m128d zeros = _mm_setzero_pd(), inexact = _mm_or_pd(_mm_cmplt_pd(error, zeros), _mm_cmpgt_pd(error, zeros));
    const __m128i even = _mm_sub_epi64(_mm_and_si128(bits, one), one);
    const __m128i to_odd = _mm_sub_epi64(one, _mm_add_epi64(opposite, opposite));
    const __m128i step = _mm_and_si128(_mm_and_si128(to_odd, even), _mm_castpd_si128(inexact));
    return _mm_cvtpd_ps(_mm_castsi128_pd(_mm_add_epi64(bits, step)));
  }
};

#endif

#endif

}  // namespace
}  // namespace fastnn
