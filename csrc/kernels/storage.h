// How a chunk of parameters, gradients or state is loaded and stored. `open` returns a pointer to n elements from
// `first` on, either in place or converted into `buffer`; `close` stores a changed chunk.
#pragma once

#include "kernels/args/optim.h"
#include "kernels/bytes.h"
#include "kernels/philox.h"
#include "steps/storage.h"

namespace fastnn {
namespace {

// Elements are converted in quarters of a chunk: so few that the conversions run in parallel with the step's divisions,
// which limit its speed, and a number that the compiler knows.
constexpr Index kQuarter = kScaleElements;
static_assert(kQuarter == kBlockWords, "a chunk's quarter takes each word of a block of Philox once");

// Makes 20 random bits for each element of a quarter. Each quarter rotates the words of the chunk's Philox block by
// another byte. The first byte, which nearly always decides, belongs to one element alone; the other bytes serve other
// elements too.
template <int turn>
inline void turned(std::uint32_t* bits, const std::uint32_t* words) {
#pragma omp simd
  for (Index i = 0; i < kQuarter; ++i) bits[i] = (words[i] >> turn | words[i] << (-turn & 31)) >> 12;
}

inline void rounding_bits(std::uint32_t* bits, const std::uint32_t* words, Index quarter) {
  switch (quarter % 4) {
    case 0: return turned<0>(bits, words);
    case 1: return turned<8>(bits, words);
    case 2: return turned<16>(bits, words);
    default: return turned<24>(bits, words);
  }
}

// Stored in the type of the arithmetic.
template <class T>
struct Plain {
  using Real = T;
  using Memory = T;
  static constexpr bool kConverts = false;
  static T* open(void* memory, Index first, Index, T*) { return static_cast<T*>(memory) + first; }
  static void close(void*, Index, Index, const T*) {}
  static void clear(void* memory, Index first, Index n) {
    __builtin_memset(static_cast<T*>(memory) + first, 0, std::size_t(n) * sizeof(T));
  }
};

// bfloat16, rounded to nearest: parameters of torch models.
struct Brain {
  using Real = float;
  using Memory = Bfloat16;
  static constexpr bool kConverts = true;
  static float* open(void* memory, Index first, Index n, float* buffer) {
    const Bfloat16* x = static_cast<const Bfloat16*>(memory) + first;
#pragma omp simd
    for (Index i = 0; i < n; ++i) buffer[i] = widen(x[i]);
    return buffer;
  }
  static void close(void* memory, Index first, Index n, const float* buffer) {
    Bfloat16* x = static_cast<Bfloat16*>(memory) + first;
#pragma omp simd
    for (Index i = 0; i < n; ++i) x[i] = to_nearest(buffer[i]);
  }
  static void clear(void* memory, Index first, Index n) {
    __builtin_memset(static_cast<Bfloat16*>(memory) + first, 0, std::size_t(n) * sizeof(Bfloat16));
  }
};

// State that is converted comes in whole quarters.
template <class T>
struct PlainState {
  using Memory = T;
  static constexpr bool kConverts = false;
  static T* open(void* memory, const float*, bool, Index first, T*) { return static_cast<T*>(memory) + first; }
  static void close(void*, float*, bool, Index, const T*, const std::uint32_t*) {}
};

// bfloat16, rounded stochastically.
struct BrainState {
  using Memory = Bfloat16;
  static constexpr bool kConverts = true;
  static float* open(void* memory, const float*, bool, Index first, float* buffer) {
    return Brain::open(memory, first, kQuarter, buffer);
  }
  static void close(void* memory, float*, bool, Index first, const float* buffer, const std::uint32_t* bits) {
    Bfloat16* x = static_cast<Bfloat16*>(memory) + first;
#pragma omp simd
    for (Index i = 0; i < kQuarter; ++i) x[i] = to_random(buffer[i], bits[i]);
  }
};

// One byte per element, with a scale for every quarter of a chunk. Loops use 16 bits per element where they can, which
// halves the number of vectors. Blocks with infinity are rare and have functions of their own; the other functions are
// always inlined, for the same reason as step_run.
struct ByteState {
  using Memory = std::uint8_t;
  static constexpr bool kConverts = true;

  FASTNN_STEP float* open(void* memory, const float* scales, bool is_signed, Index first, float* buffer) {
    const float scale = scales[first / kQuarter];
    is_signed ? decode_block<true>(static_cast<const std::int8_t*>(memory) + first, scale, buffer)
              : decode_block<false>(static_cast<const std::uint8_t*>(memory) + first, scale, buffer);
    return buffer;
  }

  FASTNN_STEP void close(void* memory, float* scales, bool is_signed, Index first, const float* buffer,
                    const std::uint32_t* bits) {
    std::uint8_t* bytes = static_cast<std::uint8_t*>(memory) + first;
    float& scale = scales[first / kQuarter];
    if (is_signed) {
      if (!encode_finite<true>(bytes, scale, buffer, bits)) encode_infinite<true>(bytes, scale, buffer, bits);
    } else {
      if (!encode_finite<false>(bytes, scale, buffer, bits)) encode_infinite<false>(bytes, scale, buffer, bits);
    }
  }

 private:
  template <bool is_signed, class Byte>
  FASTNN_STEP void decode_block(const Byte* bytes, float scale, float* x) {
    if (__builtin_expect(has_infinity(scale), false)) return decode_infinite<is_signed>(bytes, scale, x);
    const std::uint16_t base = block_base<is_signed>(scale);
    alignas(64) Bfloat16 numbers[kQuarter];
#pragma omp simd
    for (Index i = 0; i < kQuarter; ++i) numbers[i] = decode<is_signed>(bytes[i], base);
#pragma omp simd
    for (Index i = 0; i < kQuarter; ++i) x[i] = widen(numbers[i]);
  }

  template <bool is_signed, class Byte>
  __attribute__((noinline, cold)) static void decode_infinite(const Byte* bytes, float scale, float* x) {
    const std::uint16_t base = block_base<is_signed>(scale);
    for (Index i = 0; i < kQuarter; ++i) x[i] = widen(decode_or_infinity<is_signed>(bytes[i], base));
  }

  // A non-finite element must not spoil the other elements of its block.
  template <bool is_signed>
  __attribute__((noinline, cold)) static void encode_infinite(std::uint8_t* bytes, float& scale, const float* x,
                                                              const std::uint32_t* bits) {
    std::uint16_t largest = 0;
    for (Index i = 0; i < kQuarter; ++i) {
      const std::uint16_t magnitude = to_short(x[i], bits[i]);
      if (magnitude > largest && magnitude <= kHighScale) largest = magnitude;
    }
    scale = block_scale(largest, true);
    const std::uint16_t base = block_base<is_signed>(scale);
    for (Index i = 0; i < kQuarter; ++i) {
      bytes[i] = encode<is_signed>(x[i], or_last<is_signed>(to_short(x[i], bits[i]), base), base);
    }
  }
};

}  // namespace
}  // namespace fastnn
