// Dropout of elements, dropout of whole channels, and alpha dropout, elementwise; y may be x. No mask is stored:
// backward draws the same bits again. A Philox block decides about 128 elements (philox.h).
#pragma once

#include "kernels/args/dropout.h"
#include "kernels/mask.h"
#include "kernels/parallel.h"
#include "kernels/prefetch.h"
#include "steps/random.h"

namespace fastnn {
namespace {

// Calls body(first element, count, words) for each block's share of `size` elements.
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
  for_each_random_block<2 * kBlockWords>(a.size, a.random, [=, &a](Index first, Index count, const std::uint32_t* words) {
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
  for_each_range(a.size, 1, [=, &a](Index begin, Index end) {
    for_each_masked_run(begin, end, a.random, [=, &a](Index first, Index count, const std::uint32_t* bits16) {
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

// Element e of the mask decides about the e-th run of `inner` elements.
template <class T>
void dropout2d_kernel(const DropoutArgs<T>& a) noexcept {
  for_each_range(a.size / a.inner, a.inner, [=, &a](Index begin, Index end) {
    for_each_masked_run(begin, end, a.random, [=, &a](Index first, Index count, const std::uint32_t* bits16) {
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

}  // namespace
}  // namespace fastnn
