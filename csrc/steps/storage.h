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

// Up with the probability of the bits dropped; random16 is uniform below 2^16. Neither infinity nor NaN is rounded.
FASTNN_STEP Bfloat16 to_random(float x, std::uint32_t random16) {
  const auto bits = std::uint32_t(to_bits(x));
  const bool finite = (bits & 0x7f800000) != 0x7f800000;
  return {std::uint16_t((finite ? bits + random16 : (x == x ? bits : bits | 0x400000)) >> 16)};
}

// A byte holds a share of its block's scale, a power of two above all magnitudes of the block, as a float of three
// mantissa bits: code = exponent and mantissa, counted from the least one. Shares from 2^-16 on for a signed number, the
// sign in the byte's upper bit; from 2^-32 on for one that is never negative. 0 is zero, the last code NaN.
template <bool is_signed>
struct ByteCode {
  static constexpr int kDropped = 20;
  static constexpr std::int32_t kLast = is_signed ? 127 : 255;
  static constexpr std::int32_t kOne = 127 << 3;  // the upper bits of 1.0f
  static constexpr std::int32_t kOffset = kOne - (kLast - 1);
};

template <bool is_signed>
FASTNN_STEP float decode(std::uint8_t byte, float scale) {
  using C = ByteCode<is_signed>;
  const std::int32_t code = byte & C::kLast;
  const std::int32_t bits = (code + C::kOffset) << C::kDropped;
  const std::int32_t value = code == 0 ? 0 : (code == C::kLast ? 0x7fc00000 : bits);
  return from_bits<float>(is_signed ? value | (std::int32_t(byte & 0x80) << 24) : value) * scale;
}

// share = |x| / scale, at most 1; `round` is below 2^20: what is added before the dropped bits go. A number too small for
// the first code becomes that code or zero, by chance; but one that is never negative is a divisor, and keeps off zero.
template <bool is_signed>
FASTNN_STEP std::uint8_t encode(float x, float inverse_scale, std::int32_t round) {
  using C = ByteCode<is_signed>;
  const float share = (x < 0 ? -x : x) * inverse_scale;
  constexpr std::int32_t kLeastBits = (1 + C::kOffset) << C::kDropped;
  const float least = from_bits<float>(kLeastBits);
  const auto upper = std::int32_t((std::uint32_t(to_bits(share)) + std::uint32_t(round)) >> C::kDropped);
  const std::int32_t small = is_signed ? (share * (0x1p20f / least) > float(round ^ 0xfffff) ? 1 : 0) : (share > 0 ? 1 : 0);
  std::int32_t code = share < least ? small : upper - C::kOffset;
  code = share <= 1 ? code : C::kLast;
  return std::uint8_t(is_signed ? code | ((to_bits(x) >> 24) & 0x80) : code);
}

// The scale of a block whose largest magnitude is `largest`: the power of two above it, as far as it and its inverse are
// normal numbers. What is larger still becomes NaN.
FASTNN_STEP float block_scale(float largest) {
  constexpr std::int32_t kLow = 32 << 23, kHigh = 252 << 23;
  const std::int32_t exponent = to_bits(largest) & 0x7f800000;
  return from_bits<float>((exponent < kLow ? kLow : (exponent > kHigh ? kHigh : exponent)) + (1 << 23));
}

FASTNN_STEP float inverse_power_of_two(float scale) { return from_bits<float>((254 << 23) - to_bits(scale)); }

}  // namespace fastnn
