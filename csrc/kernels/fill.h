// Random fills; philox.h says which bits an element gets.
#pragma once

#include <type_traits>

#include "kernels/args/random.h"
#include "kernels/parallel.h"
#include "kernels/philox.h"
#include "steps/quantile.h"
#include "steps/random.h"

namespace fastnn {
namespace {

// The number of values that a block gives.
template <class T>
constexpr Index kBlockValues = kBlockWords * 4 / Index(sizeof(T));

template <class T>
inline void copy_values(T* y, const T* values, Index n) {
#pragma omp simd
  for (Index j = 0; j < n; ++j) y[j] = values[j];
}

// Fills y with the values that make(values, words) computes from the words of each block.
template <class Args, class Make>
inline void fill_blocks(const Args& a, Make make) noexcept {
  using T = std::remove_pointer_t<decltype(a.y)>;
  constexpr Index n = kBlockValues<T>;
  for_each_range((a.skip + a.size + n - 1) / n, n, [=, &a](Index begin, Index end) {
    for (Index b = begin; b < end; ++b) {
      alignas(64) std::uint32_t words[kBlockWords];
      alignas(64) T values[n];
      philox_block(words, a.random, std::uint64_t(b));
      make(values, words);
      const Index origin = b * n - a.skip, first = origin < 0 ? -origin : 0;
      const Index last = a.size - origin < n ? a.size - origin : n;
      if (last - first == n) {
        copy_values(a.y + origin, values, n);
      } else {
        copy_values(a.y + origin + first, values + first, last - first);
      }
    }
  });
}

// Computes the uniforms in [0, 1) of a block, in element order.
inline void units(float* u, const std::uint32_t* words) {
#pragma omp simd
  for (Index j = 0; j < kBlockWords; ++j) u[j] = unit(words[j]);
}

inline void units(double* u, const std::uint32_t* words) {
  for (Index p = 0; p < 2; ++p) {
#pragma omp simd
    for (Index j = 0; j < 16; ++j) u[16 * p + j] = unit(words[32 * p + j], words[32 * p + 16 + j]);
  }
}

// The step between neighbouring uniforms; the largest uniform is 1 - unit_step.
constexpr float unit_step(float) { return 0x1p-24f; }
constexpr double unit_step(double) { return 0x1p-53; }

template <class T, class Value>
inline void fill_from_units(const FillArgs<T>& a, Value value) noexcept {
  fill_blocks(a, [=](T* y, const std::uint32_t* words) {
    units(y, words);
#pragma omp simd
    for (Index j = 0; j < kBlockValues<T>; ++j) y[j] = value(y[j]);
  });
}

template <class T>
void uniform_kernel(const FillArgs<T>& a) noexcept {
  const T low = a.shift, width = a.scale, largest = a.largest;
  fill_from_units(a, [=](T u) { return uniform_between(u, low, width, largest); });
}

template <class T>
void bernoulli_kernel(const FillArgs<T>& a) noexcept {
  const T p = a.scale;
  fill_from_units(a, [=](T u) { return u < p ? T(1) : T(0); });
}

template <class T>
void exponential_kernel(const FillArgs<T>& a) noexcept {
  const T mean = a.scale;
  fill_from_units(a, [=](T u) { return mean * -logarithm_of_normal(u + unit_step(T())); });
}

template <class T>
void normal_kernel(const FillArgs<T>& a) noexcept {
  const T mean = a.shift, std = a.scale;
  fill_blocks(a, [=](T* y, const std::uint32_t* words) {
    units(y, words);
    for (Index half = 0; half < kBlockValues<T>; half += 32) {
#pragma omp simd
      for (Index j = half; j < half + 16; ++j) {
        T z0, z1;
        box_muller(y[j] + unit_step(T()), y[j + 16], z0, z1);
        y[j] = multiply_add(std, z0, mean);
        y[j + 16] = multiply_add(std, z1, mean);
      }
    }
  });
}

// Computes uniforms in (0, 1) and their differences from 1, in units of 2^-31 or 2^-53. Small values keep their digits
// in both.
inline void ranks(float* up, float* down, const std::uint32_t* words) {
#pragma omp simd
  for (Index j = 0; j < kBlockWords; ++j) {
    up[j] = float(std::int32_t(words[j] >> 1)) + 0.5f;
    down[j] = float(std::int32_t(~words[j] >> 1)) + 0.5f;
  }
}

inline void ranks(double* up, double* down, const std::uint32_t* words) {
  units(up, words);
#pragma omp simd
  for (Index j = 0; j < kBlockValues<double>; ++j) {
    const double rank = up[j] * 0x1p53;
    up[j] = rank + 0.5;
    down[j] = 0x1.fffffffffffffp52 - rank + 0.5;
  }
}

// Computes uniforms in [0, 1) with the same steps, in double.
inline void tail_units(double* u, const std::uint32_t* words, float) {
#pragma omp simd
  for (Index j = 0; j < kBlockWords; ++j) u[j] = double(std::int32_t(words[j] >> 1)) * 0x1p-31;
}

inline void tail_units(double* u, const std::uint32_t* words, double) { units(u, words); }

template <class T>
inline void go_into_tail(double* u, const TruncNormalArgs<T>& a) {
#pragma omp simd
  for (Index j = 0; j < kBlockValues<T>; ++j) {
    u[j] = a.end + a.step * beyond_tail(twice_minus_logarithm(u[j] * a.share), a.tail);
  }
}

// Two loops: in a single one each value would wait for the logarithm before it, which took a fifth more time.
template <bool far, class T>
inline void invert(T* y, const std::uint32_t* words, const TruncNormalArgs<T>& a) {
  T up[kBlockValues<T>], down[kBlockValues<T>];
  ranks(up, down, words);
#pragma omp simd
  for (Index j = 0; j < kBlockValues<T>; ++j) {
    const T below = a.below + a.width * up[j], above = a.above + a.width * down[j];
    y[j] = -logarithm_of_normal(4 * below * above);
  }
#pragma omp simd
  for (Index j = 0; j < kBlockValues<T>; ++j) {
    const T part = a.width * up[j];
    y[j] = a.mean + a.std * normal_quantile<far>(y[j], a.centre + part, a.below + part, a.above + a.width * down[j]);
  }
}

template <class T>
void trunc_normal_kernel(const TruncNormalArgs<T>& args) noexcept {
  fill_blocks(args, [a = args](T* y, const std::uint32_t* words) {
    if (a.in_tail) {
      double u[kBlockValues<T>];
      tail_units(u, words, T());
      go_into_tail(u, a);
      for (Index j = 0; j < kBlockValues<T>; ++j) y[j] = T(u[j]);
    } else if (a.far) {
      invert<true>(y, words, a);
    } else {
      invert<false>(y, words, a);
    }
#pragma omp simd
    for (Index j = 0; j < kBlockValues<T>; ++j) y[j] = clamped(y[j], a.low, a.high);
  });
}

// The number below `range` is the high half of a 128-bit product.
void integers_kernel(const IntegersArgs& args) noexcept {
  fill_blocks(args, [a = args](Index* y, const std::uint32_t* words) {
    for (Index j = 0; j < kBlockValues<Index>; ++j) {
      const std::uint64_t w = std::uint64_t(words[j / 16 * 32 + j % 16]) << 32 | words[j / 16 * 32 + 16 + j % 16];
      const std::uint64_t part = a.range ? std::uint64_t((unsigned __int128)(w) * a.range >> 64) : w;
      y[j] = Index(std::uint64_t(a.low) + part);
    }
  });
}

void philox_kernel(const PhiloxArgs& a) noexcept {
  for (Index b = 0; b < a.blocks; ++b) philox_block(a.words + b * kBlockWords, a.random, std::uint64_t(b));
}

}  // namespace
}  // namespace fastnn
