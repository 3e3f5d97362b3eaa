// Random numbers.
#pragma once

#include "calls/fills.h"
#include "capi/common.h"
#include "kernels/args/random.h"

namespace fastnn {
namespace {

template <class T>
int uniform(T* y, Index size, double a, double b, fastnn_random random) noexcept {
  kernels_for<T>().uniform(uniform_args(y, size, 0, place(random), T(a), T(b)));
  return kDone;
}

template <class T>
int normal(T* y, Index size, double mean, double std, fastnn_random random) noexcept {
  kernels_for<T>().normal(
      {.y = y, .size = size, .skip = 0, .random = place(random), .shift = T(mean), .scale = T(std), .largest = 0});
  return kDone;
}

template <class T>
int trunc_normal(T* y, Index size, double mean, double std, double a, double b, fastnn_random random) noexcept {
  kernels_for<T>().trunc_normal(trunc_normal_args(y, size, 0, place(random), mean, std, a, b));
  return kDone;
}

template <class T>
int bernoulli(T* y, Index size, double p, fastnn_random random) noexcept {
  kernels_for<T>().bernoulli(
      {.y = y, .size = size, .skip = 0, .random = place(random), .shift = 0, .scale = T(p), .largest = 0});
  return kDone;
}

template <class T>
int exponential(T* y, Index size, double lambd, fastnn_random random) noexcept {
  kernels_for<T>().exponential(
      {.y = y, .size = size, .skip = 0, .random = place(random), .shift = 0, .scale = T(1 / lambd), .largest = 0});
  return kDone;
}

int integers(std::int64_t* y, std::int64_t size, std::int64_t low, std::uint64_t range, fastnn_random random) noexcept {
  kernel_table().integers({.y = y, .size = size, .skip = 0, .random = place(random), .low = low, .range = range});
  return kDone;
}

int permutation(std::int64_t* y, std::int64_t size, fastnn_random random) noexcept {
  const int bits = permutation_bits(size);
  return with_scratch<Index>(bits ? permutation_parts(size) << bits : 0, [&](Index* ends) {
    Philox swaps = place(random);
    swaps.block += std::uint64_t(size + 63) / 64;
    kernel_table().permutation(
        {.y = y, .ends = ends, .size = size, .buckets = place(random), .swaps = swaps, .bits = bits});
  });
}

int philox(std::uint32_t* words, std::int64_t blocks, fastnn_random random) noexcept {
  kernel_table().philox({.words = words, .random = place(random), .blocks = blocks});
  return kDone;
}

}  // namespace
}  // namespace fastnn
