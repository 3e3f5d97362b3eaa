// How a chunk of parameters, gradients or state comes from memory into arithmetic and back. `open` gives a pointer to n
// elements from `first` on, either where they lie or converted into `buffer`; `close` brings a changed chunk back.
#pragma once

#include "kernels/args.h"
#include "kernels/lanes.h"
#include "kernels/philox.h"
#include "steps/storage.h"

namespace fastnn {
namespace {

// Bits for one chunk. Element e takes 16 of them from word e % 64, beginning at byte e / 64: a byte of its own above, and
// below a byte that serves another element, where it decides next to nothing. Every state begins at another byte.
struct RoundingBits {
  const std::uint32_t* words;
  int state;

  int shift(Index quarter) const { return int(8 * ((quarter + state) % 4)); }
};

FASTNN_STEP std::uint32_t rounding_bits(std::uint32_t word, int shift) {
  return ((word >> shift) | (word << ((32 - shift) & 31))) & 0xffff;
}

constexpr Index kQuarter = kChunk / 4;
static_assert(kQuarter == kBlockWords, "a chunk's quarter takes each word of a block of Philox once");

// body(first, count, quarter's number) for the quarters of a chunk of n elements.
template <class Body>
inline void for_each_quarter(Index n, Body body) {
  for (Index q = 0; q * kQuarter < n; ++q) body(q * kQuarter, n - q * kQuarter < kQuarter ? n - q * kQuarter : kQuarter, q);
}

// As it is computed with.
template <class T>
struct Plain {
  using Real = T;
  static constexpr bool kConverts = false;
  static T* open(void* memory, Index first, Index, T*) { return static_cast<T*>(memory) + first; }
  static void close(void*, Index, Index, const T*) {}
  static void clear(void* memory, Index first, Index n) {
    __builtin_memset(static_cast<T*>(memory) + first, 0, std::size_t(n) * sizeof(T));
  }
};

// bfloat16 rounded to nearest: parameters of torch models.
struct Brain {
  using Real = float;
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

template <class T>
struct PlainState {
  static constexpr bool kConverts = false;
  static T* open(void* memory, const float*, bool, Index first, Index, T*) { return static_cast<T*>(memory) + first; }
  static void close(void*, float*, bool, Index, Index, const T*, RoundingBits) {}
};

// bfloat16, rounded at random.
struct BrainState {
  static constexpr bool kConverts = true;
  static float* open(void* memory, const float*, bool, Index first, Index n, float* buffer) {
    return Brain::open(memory, first, n, buffer);
  }
  static void close(void* memory, float*, bool, Index first, Index n, const float* buffer, RoundingBits bits) {
    Bfloat16* x = static_cast<Bfloat16*>(memory) + first;
    for_each_quarter(n, [=](Index begin, Index count, Index quarter) {
      const int shift = bits.shift(quarter);
#pragma omp simd
      for (Index i = 0; i < count; ++i) {
        x[begin + i] = to_random(buffer[begin + i], rounding_bits(bits.words[i], shift));
      }
    });
  }
};

// One byte, with a scale for every quarter of a chunk.
struct ByteState {
  static constexpr bool kConverts = true;

  static float* open(void* memory, const float* scales, bool is_signed, Index first, Index n, float* buffer) {
    return is_signed ? decoded<true>(memory, scales, first, n, buffer) : decoded<false>(memory, scales, first, n, buffer);
  }
  static void close(void* memory, float* scales, bool is_signed, Index first, Index n, const float* buffer,
                    RoundingBits bits) {
    is_signed ? encoded<true>(memory, scales, first, n, buffer, bits)
              : encoded<false>(memory, scales, first, n, buffer, bits);
  }

  template <bool is_signed>
  static float* decoded(void* memory, const float* scales, Index first, Index n, float* buffer) {
    const std::uint8_t* codes = static_cast<const std::uint8_t*>(memory) + first;
    for_each_quarter(n, [=](Index begin, Index count, Index quarter) {
      const float scale = scales[first / kQuarter + quarter];
#pragma omp simd
      for (Index i = 0; i < count; ++i) buffer[begin + i] = decode<is_signed>(codes[begin + i], scale);
    });
    return buffer;
  }

  template <bool is_signed>
  static void encoded(void* memory, float* scales, Index first, Index n, const float* buffer, RoundingBits bits) {
    std::uint8_t* codes = static_cast<std::uint8_t*>(memory) + first;
    for_each_quarter(n, [=](Index begin, Index count, Index quarter) {
      const float* x = buffer + begin;
      const float scale = block_scale(largest_magnitude(x, count)), inverse = inverse_power_of_two(scale);
      scales[first / kQuarter + quarter] = scale;
      const int shift = bits.shift(quarter);
#pragma omp simd
      for (Index i = 0; i < count; ++i) {
        const auto round = std::int32_t(rounding_bits(bits.words[i], shift) << 4 | 8);
        codes[begin + i] = encode<is_signed>(x[i], inverse, round);
      }
    });
  }

  // NaN and infinity passed over: they get a code of their own, and must not take the others with them.
  static float largest_magnitude(const float* x, Index n) {
    float lanes[kLanes] = {};
    const auto take = [&](Index lane, float value) {
      const float magnitude = value < 0 ? -value : value;
      lanes[lane] = magnitude > lanes[lane] && magnitude < __builtin_inff() ? magnitude : lanes[lane];
    };
    Index i = 0;
    for (; i + kLanes <= n; i += kLanes) {
#pragma omp simd
      for (Index lane = 0; lane < kLanes; ++lane) take(lane, x[i + lane]);
    }
    for (Index lane = 0; i + lane < n; ++lane) take(lane, x[i + lane]);
    float largest = 0;
    for (float lane : lanes) largest = lane > largest ? lane : largest;
    return largest;
  }
};

}  // namespace
}  // namespace fastnn
