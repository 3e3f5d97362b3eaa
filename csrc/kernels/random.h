// Random numbers from counters. A block is 16 consecutive Philox counters, held as 64 words: word 16 w + lane is
// word w of counter 16 block + lane. (The counter's upper half is the stream, the key is the seed.) Which bits an
// element gets depends on its index alone:
//   dropout   e: block e / 128, low half of word e % 128, or high half of word e % 128 - 64
//   float     e: block e / 64, word e % 64
//   double    e: block e / 32, words 16 (2 p) + lane and 16 (2 p + 1) + lane with p = e % 32 / 16, lane = e % 16
// Normals come in pairs from the two uniforms 16 apart.
#pragma once

#include "kernels/mask.h"
#include "kernels/parallel.h"
#include "kernels/prefetch.h"
#include "steps/random.h"

namespace fastnn {
namespace {

// body(first element, count, words) for each block's share of `size` elements.
template <Index per_block, class Body>
inline void for_each_random_block(Index size, const Philox& random, Body body) noexcept {
  for_each_range((size + per_block - 1) / per_block, per_block, [=](Index begin, Index end) {
    for (Index b = begin; b < end; ++b) {
      alignas(64) std::uint32_t words[kBlockWords];
      philox_block(words, random, std::uint64_t(b));
      const Index first = b * per_block;
      body(first, size - first < per_block ? size - first : per_block, words);
    }
  });
}

template <class T>
void dropout_kernel(const DropoutArgs<T>& a) noexcept {
  for_each_random_block<2 * kBlockWords>(a.size, a.random, [=](Index first, Index count, const std::uint32_t* words) {
    const Index low = count < kBlockWords ? count : kBlockWords;
    const T* x = a.x + first;
    T* y = a.y + first;
    prefetch(x + kAhead, count);
    prefetch_to_write(y + kAhead, count);
    const std::uint32_t threshold = a.threshold;
    const T scale = a.scale;
#pragma omp simd
    for (Index j = 0; j < low; ++j) y[j] = keep_or_drop(x[j], words[j] & 0xffff, threshold, scale);
#pragma omp simd
    for (Index j = low; j < count; ++j) {
      y[j] = keep_or_drop(x[j], words[j - kBlockWords] >> 16, threshold, scale);
    }
  });
}

template <class T>
void alpha_dropout_kernel(const DropoutArgs<T>& a) noexcept {
  for_each_range(a.size, 1, [=](Index begin, Index end) {
    for_each_masked_run(begin, end, a.random, [=](Index first, Index count, const std::uint32_t* bits16) {
      const T* x = a.x + first;
      T* y = a.y + first;
      prefetch(x + kAhead, count);
      prefetch_to_write(y + kAhead, count);
      const std::uint32_t threshold = a.threshold;
      const T scale = a.scale, shift = a.shift, dropped = a.dropped;
#pragma omp simd
      for (Index i = 0; i < count; ++i) y[i] = keep_or_replace(x[i], bits16[i], threshold, scale, shift, dropped);
    });
  });
}

// Element e is here the e-th run of `inner`.
template <class T>
void channel_dropout_kernel(const DropoutArgs<T>& a) noexcept {
  for_each_range(a.size / a.inner, a.inner, [=](Index begin, Index end) {
    for_each_masked_run(begin, end, a.random, [=](Index first, Index count, const std::uint32_t* bits16) {
      const std::uint32_t threshold = a.threshold;
      const T scale = a.scale;
      for (Index run = 0; run < count; ++run) {
        const T* x = a.x + (first + run) * a.inner;
        T* y = a.y + (first + run) * a.inner;
        const std::uint32_t bits = bits16[run];
#pragma omp simd
        for (Index i = 0; i < a.inner; ++i) y[i] = keep_or_drop(x[i], bits, threshold, scale);
      }
    });
  });
}

// The uniforms in [0, 1) of a block, in element order.
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

// The smallest step between uniforms: 1 - it is the largest of them.
constexpr float unit_step(float) { return 0x1p-24f; }
constexpr double unit_step(double) { return 0x1p-53; }

template <class T>
void uniform_kernel(const FillArgs<T>& a) noexcept {
  constexpr Index kValues = kBlockWords * 4 / Index(sizeof(T));
  for_each_random_block<kValues>(a.size, a.random, [=](Index first, Index count, const std::uint32_t* words) {
    T u[kValues];
    units(u, words);
    T* y = a.y + first;
    const T low = a.shift, width = a.scale, largest = a.largest;
#pragma omp simd
    for (Index j = 0; j < count; ++j) y[j] = uniform_between(u[j], low, width, largest);
  });
}

template <class T>
void normal_kernel(const FillArgs<T>& a) noexcept {
  constexpr Index kValues = kBlockWords * 4 / Index(sizeof(T));
  for_each_random_block<kValues>(a.size, a.random, [=](Index first, Index count, const std::uint32_t* words) {
    T z[kValues];
    units(z, words);
    for (Index half = 0; half < kValues; half += 32) {
#pragma omp simd
      for (Index j = half; j < half + 16; ++j) box_muller(z[j] + unit_step(T()), z[j + 16], z[j], z[j + 16]);
    }
    T* y = a.y + first;
    const T mean = a.shift, std = a.scale;
#pragma omp simd
    for (Index j = 0; j < count; ++j) y[j] = mean + std * z[j];
  });
}

void philox_words(std::uint32_t* words, const Philox& random, Index blocks) noexcept {
  for (Index b = 0; b < blocks; ++b) philox_block(words + b * kBlockWords, random, std::uint64_t(b));
}

}  // namespace
}  // namespace fastnn
