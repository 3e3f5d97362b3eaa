// Philox in blocks. A block is 16 consecutive Philox counters, held as 64 words: word 16 w + lane is word w of counter
// 16 block + lane. (The counter's upper half is the stream, the key is the seed.) The bits of an element depend on its
// index e alone:
//   dropout   block e / 128, low half of word e % 128, or high half of word e % 128 - 64
//   32 bits   block e / 64, word e % 64
//   64 bits   block e / 32, words 16 (2 p) + lane and 16 (2 p + 1) + lane with p = e % 32 / 16, lane = e % 16
// Normals come in pairs, from two uniforms that are 16 apart.
//
// Measured with GCC 12: the plain loop over 32-bit words takes 1.0 ns per word for AVX-512 and 1.8 for AVX2, since the
// widening multiply needs even and odd words apart. Words in the low halves of 64-bit lanes, multiplied by the one
// instruction for low halves, take 0.45 and 1.0. Hence the intrinsics.
#pragma once

#include "kernels/args/common.h"
#include "steps/random.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace fastnn {
namespace {

#if defined(__AVX512F__)
constexpr int kWordVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kWordVectorBytes = 32;
#else
constexpr int kWordVectorBytes = 16;
#endif
constexpr int kWordLanes = kWordVectorBytes / 8;
typedef std::uint64_t WordVector __attribute__((vector_size(kWordVectorBytes)));

inline WordVector lane_numbers() {
  WordVector numbers = {};
  for (int lane = 0; lane < kWordLanes; ++lane) numbers[lane] = std::uint64_t(lane);
  return numbers;
}

inline WordVector multiply_low(WordVector a, WordVector b) {
#if defined(__AVX512F__)
  // The masked form is used because GCC 12 warns of an uninitialised value inside the unmasked one.
  return WordVector(_mm512_maskz_mul_epu32(0xff, __m512i(a), __m512i(b)));
#elif defined(__AVX2__)
  return WordVector(_mm256_mul_epu32(__m256i(a), __m256i(b)));
#elif defined(__SSE2__)
  return WordVector(_mm_mul_epu32(__m128i(a), __m128i(b)));
#else
  return (a & 0xffffffff) * (b & 0xffffffff);
#endif
}

// x[w] holds word w of several counters: at first the lower halves of the counters, then the words of the stream.
struct WordVectors {
  WordVector x[4];

  WordVectors(const Philox& random, std::uint64_t first)
      : x{lane_numbers() + first, WordVector{} + (first >> 32), WordVector{} + random.stream, WordVector{} + (random.stream >> 32)} {}

  void round(WordVector key0, WordVector key1) {
    const WordVector m0 = WordVector{} + PhiloxConstants::kMultiplier0, m1 = WordVector{} + PhiloxConstants::kMultiplier1;
    philox_round(x[0], x[1], x[2], x[3], key0, key1, m0, m1, multiply_low);
  }
};

// Stores the low halves of a, then those of b. Converting a single vector takes five instructions for AVX2.
inline void store_low_halves(std::uint32_t* words, WordVector a, WordVector b) {
#if defined(__AVX512F__)
  const __m512i low = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
  _mm512_storeu_si512(words, _mm512_permutex2var_epi32(__m512i(a), low, __m512i(b)));
#elif defined(__AVX2__)
  const __m256i low = __m256i(_mm256_shuffle_ps(__m256(a), __m256(b), 0x88));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(words), _mm256_permute4x64_epi64(low, 0xd8));
#elif defined(__SSE2__)
  _mm_storeu_si128(reinterpret_cast<__m128i*>(words), __m128i(_mm_shuffle_ps(__m128(a), __m128(b), 0x88)));
#else
  for (int lane = 0; lane < kWordLanes; ++lane) {
    words[lane] = std::uint32_t(a[lane]);
    words[kWordLanes + lane] = std::uint32_t(b[lane]);
  }
#endif
}

// Computes the 64 words of the block `offset` after `random.block`.
inline void philox_block(std::uint32_t* words, const Philox& random, std::uint64_t offset) {
  const std::uint64_t first = (random.block + offset) * std::uint64_t(kBlockCounters);
#pragma GCC unroll 4
  for (int v = 0; v < kBlockCounters; v += 2 * kWordLanes) {
    WordVectors a(random, first + std::uint64_t(v)), b(random, first + std::uint64_t(v + kWordLanes));
    std::uint32_t key0 = std::uint32_t(random.seed), key1 = std::uint32_t(random.seed >> 32);
#pragma GCC unroll 10
    for (int round = 0; round < PhiloxConstants::kRounds; ++round) {  // two at once: each waits for its last round
      a.round(WordVector{} + key0, WordVector{} + key1);
      b.round(WordVector{} + key0, WordVector{} + key1);
      key0 += PhiloxConstants::kWeyl0;
      key1 += PhiloxConstants::kWeyl1;
    }
#pragma GCC unroll 4
    for (Index w = 0; w < 4; ++w) store_low_halves(words + w * kBlockCounters + v, a.x[w], b.x[w]);
  }
}

}  // namespace
}  // namespace fastnn
