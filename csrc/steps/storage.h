// Numbers in fewer bits than they are computed in. Rounding of state is stochastic, so that a change smaller than a step
// between neighbours is kept on average: S. Gupta et al., "Deep learning with limited numerical precision", ICML 2015.
#pragma once

#include "steps/math.h"

namespace fastnn {

// The upper half of a float32.
struct Bfloat16 {
  std::uint16_t bits;
};

FASTNN_STEP float widen(Bfloat16 x) { return from_bits<float>(std::int32_t(std::uint32_t(x.bits) << 16)); }

// To nearest, ties to even; what added bits would turn into infinity or another NaN stays a NaN.
FASTNN_STEP Bfloat16 to_nearest(float x) {
  const auto bits = std::uint32_t(to_bits(x));
  const std::uint32_t rounded = bits + 0x7fff + ((bits >> 16) & 1);
  return {std::uint16_t((x == x ? rounded : bits | 0x400000) >> 16)};
}

// Up with the probability of the bits dropped; `random` is 32 uniform bits. Neither infinity nor NaN is rounded; a NaN out
// of arithmetic has its first mantissa bit set, and stays one.
FASTNN_STEP Bfloat16 to_random(float x, std::uint32_t random) {
  const auto bits = std::uint32_t(to_bits(x));
  const bool finite = (bits & 0x7f800000) != 0x7f800000;
  return {std::uint16_t((bits + (finite ? random >> 16 : 0)) >> 16)};
}

// A byte holds a float of three mantissa bits, as a code that counts floats downwards from its block's scale, a power of
// two not below any finite magnitude of the block: down to 2^-16 of the scale for a signed number, whose sign is the
// byte's upper bit, and to 2^-32 for one that is never negative. Code 0 is zero for a signed number; the other kind is a
// divisor, and keeps off zero. The last code is infinity, and what NaN becomes: its parameter is NaN by then.
template <bool is_signed>
struct ByteCode {
  static constexpr int kDropped = 20;
  static constexpr std::int32_t kLast = is_signed ? 127 : 255;
  static std::int32_t base(float scale) { return to_bits(scale) - ((kLast - 1) << kDropped); }
};

static constexpr std::int32_t kInfinityBits = 0x7f800000;

// `base` is that of the block; a signed number's byte comes with its sign extended.
template <bool is_signed>
FASTNN_STEP float decode(std::int32_t byte, std::int32_t base) {
  using C = ByteCode<is_signed>;
  const std::int32_t code = byte & C::kLast;
  const std::int32_t number = code == C::kLast ? kInfinityBits : (code << C::kDropped) + base;
  if constexpr (!is_signed) return from_bits<float>(number);
  return from_bits<float>(code == 0 ? 0 : number | (byte & std::int32_t(0x80000000)));
}

// Up with the probability of the bits dropped; random20 is uniform below 2^20.
template <bool is_signed>
FASTNN_STEP std::int32_t encode(float x, std::int32_t base, std::int32_t random20) {
  using C = ByteCode<is_signed>;
  const std::int32_t above = (to_bits(x) & 0x7fffffff) - base + random20;
  const std::int32_t code = (above < 0 ? 0 : above) >> C::kDropped;
  const std::int32_t byte = code > C::kLast ? C::kLast : code;
  return is_signed ? byte | std::int32_t(std::uint32_t(to_bits(x)) >> 24 & 0x80) : byte;
}

// The scale of a block whose largest finite magnitude has these bits; it ends where the codes would leave the normal
// numbers.
FASTNN_STEP float block_scale(std::int32_t largest) {
  constexpr std::int32_t kLow = 33 << 23, kHigh = 252 << 23;
  const std::int32_t power = (largest + 0x7fffff) & 0x7f800000;
  return from_bits<float>(power < kLow ? kLow : (power > kHigh ? kHigh : power));
}

FASTNN_STEP std::int32_t magnitude_bits(float x) { return to_bits(x) & 0x7fffffff; }

}  // namespace fastnn
