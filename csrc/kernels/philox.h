// A block of Philox. Measured, GCC 12: the plain loop over 32-bit words takes 1.0 ns per word for AVX-512 and 1.8
// for AVX2, since the widening multiply wants even and odd words apart; words in the low halves of 64-bit lanes,
// with the one instruction that multiplies low halves, take 0.45 and 1.0. Hence the intrinsics.
#pragma once

#include "kernels/args.h"
#include "steps/random.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace fastnn {
namespace {

constexpr Index kBlockCounters = 16, kBlockWords = 64;

#if defined(__AVX512F__)
constexpr int kWordVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kWordVectorBytes = 32;
#else
constexpr int kWordVectorBytes = 16;
#endif
constexpr int kWordLanes = kWordVectorBytes / 8;
typedef std::uint64_t WordVector __attribute__((vector_size(kWordVectorBytes)));
typedef std::uint32_t HalfVector __attribute__((vector_size(kWordVectorBytes / 2)));

inline WordVector lane_numbers() {
  WordVector numbers = {};
  for (int lane = 0; lane < kWordLanes; ++lane) numbers[lane] = std::uint64_t(lane);
  return numbers;
}

inline WordVector multiply_low(WordVector a, WordVector b) {
#if defined(__AVX512F__)
  // The masked form: GCC 12 warns of an uninitialised value inside its own unmasked one.
  return WordVector(_mm512_maskz_mul_epu32(0xff, __m512i(a), __m512i(b)));
#elif defined(__AVX2__)
  return WordVector(_mm256_mul_epu32(__m256i(a), __m256i(b)));
#elif defined(__SSE2__)
  return WordVector(_mm_mul_epu32(__m128i(a), __m128i(b)));
#else
  return (a & 0xffffffff) * (b & 0xffffffff);
#endif
}

// Word w of the counters from `first` on, one vector of them.
inline void philox_vector(std::uint32_t* words, const Philox& random, std::uint64_t first) {
  using C = PhiloxConstants;
  WordVector x0, x1, x2, x3;
  const WordVector zero = {};
  x0 = lane_numbers() + first;
  x1 = zero + (first >> 32);
  x2 = zero + random.stream;
  x3 = zero + (random.stream >> 32);
  std::uint32_t key0 = std::uint32_t(random.seed), key1 = std::uint32_t(random.seed >> 32);
  const WordVector m0 = zero + C::kMultiplier0, m1 = zero + C::kMultiplier1;
#pragma GCC unroll 10
  for (int round = 0; round < C::kRounds; ++round) {
    philox_round(x0, x1, x2, x3, zero + key0, zero + key1, m0, m1, multiply_low);
    key0 += C::kWeyl0;
    key1 += C::kWeyl1;
  }
  const WordVector* x[4] = {&x0, &x1, &x2, &x3};
#pragma GCC unroll 4
  for (Index w = 0; w < 4; ++w) {
    const HalfVector half = __builtin_convertvector(*x[w], HalfVector);
    __builtin_memcpy(words + w * kBlockCounters, &half, sizeof half);
  }
}

// The 64 words of the block `offset` after `random.block`.
inline void philox_block(std::uint32_t* words, const Philox& random, std::uint64_t offset) {
  const std::uint64_t first = (random.block + offset) * std::uint64_t(kBlockCounters);
#pragma GCC unroll 8
  for (int v = 0; v < kBlockCounters; v += kWordLanes) {
    philox_vector(words + v, random, first + std::uint64_t(v));
  }
}

}  // namespace
}  // namespace fastnn
