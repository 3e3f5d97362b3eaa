// Numbers stored in fewer bits than they are computed in. State is rounded stochastically, so that a change smaller
// than the step between neighbours is kept on average: S. Gupta et al., "Deep learning with limited numerical
// precision", ICML 2015.
#pragma once

#include "steps/portable.h"

namespace fastnn {

// The upper half of a float32.
struct Bfloat16 {
  std::uint16_t bits;
};

FASTNN_STEP float widen(Bfloat16 x) { return bits_as<float>(std::int32_t(std::uint32_t(x.bits) << 16)); }

// Rounds to nearest, ties to even. NaN stays NaN: rounding its bits could give infinity.
FASTNN_STEP Bfloat16 to_nearest(float x) {
  const auto bits = std::uint32_t(bits_as<std::int32_t>(x));
  const std::uint32_t rounded = bits + 0x7fff + ((bits >> 16) & 1);
  return {std::uint16_t((x == x ? rounded : bits | 0x400000) >> 16)};
}

// Rounds up with a probability equal to the dropped fraction; random20 is uniform below 2^20. Infinity and NaN are not
// rounded. A NaN that arithmetic produces has its first mantissa bit set, so it stays NaN.
FASTNN_STEP Bfloat16 to_random(float x, std::uint32_t random20) {
  const auto bits = std::uint32_t(bits_as<std::int32_t>(x));
  const bool finite = (bits & 0x7f800000) != 0x7f800000;
  return {std::uint16_t((bits + (finite ? random20 >> 4 : 0)) >> 16)};
}

// A byte stands for a float with three mantissa bits. The magnitude of such a float is a "short": its float32 bits
// without the sign and the lower twenty, an 11-bit number that grows by one from each float to the next larger one. The
// code in a byte is a short minus the block's base. The base is chosen so that the last code but one is the block's
// scale, a power of two not below any magnitude. A signed number has its sign in the upper bit, and reaches down to
// 2^-16 of the scale; a number that is never negative reaches down to 2^-32. Code 0 is zero for signed numbers. The
// others are divisors, for which code 0 is not zero.

// Rounds up with a probability equal to the dropped fraction.
FASTNN_STEP std::uint16_t to_short(float x, std::uint32_t random20) {
  return std::uint16_t(((std::uint32_t(bits_as<std::int32_t>(x)) & 0x7fffffff) + random20) >> 20);
}

// Scales lie between these shorts, so that all codes stand for normal numbers. A larger magnitude counts as infinite.
// So does NaN: its parameter is NaN by then. An infinite element has the last code, and the scale of its block is
// negative. In all other blocks, nearly all there are, no element has the last code and no loop has to look for it.
static constexpr std::uint16_t kLowScale = 33 << 3, kHighScale = 252 << 3;

// Returns the scale for the largest short, which is at most kHighScale.
FASTNN_STEP float block_scale(std::uint16_t largest, bool has_infinity) {
  const std::int32_t power = (largest + 7) & ~7;
  const float scale = bits_as<float>((power < kLowScale ? kLowScale : power) << 20);
  return has_infinity ? -scale : scale;
}

FASTNN_STEP bool has_infinity(float scale) { return bits_as<std::int32_t>(scale) < 0; }

template <bool is_signed>
static constexpr std::uint16_t kLastCode = is_signed ? 127 : 255;

template <bool is_signed>
FASTNN_STEP std::uint16_t block_base(float scale) {
  return std::uint16_t((bits_as<std::int32_t>(scale) >> 20 & 0x7ff) - (kLastCode<is_signed> - 1));
}

// Prepares a short for `encode` in a block with infinity.
template <bool is_signed>
FASTNN_STEP std::uint16_t or_last(std::uint16_t magnitude, std::uint16_t base) {
  return magnitude > kHighScale ? std::uint16_t(base + kLastCode<is_signed>) : magnitude;
}

// Returns the byte of x, given its short.
template <bool is_signed>
FASTNN_STEP std::uint8_t encode(float x, std::uint16_t magnitude, std::uint16_t base) {
  const auto code = std::uint16_t((magnitude > base ? magnitude : base) - base);
  return std::uint8_t(is_signed && bits_as<std::int32_t>(x) < 0 ? code | 0x80 : code);
}

// The byte of a signed number comes sign-extended.
template <bool is_signed>
FASTNN_STEP Bfloat16 decode(std::int16_t byte, std::uint16_t base) {
  const auto bits = std::uint16_t(byte << 4), low = std::uint16_t(base << 4);
  if constexpr (!is_signed) return {std::uint16_t(bits + low)};
  const auto number = std::uint16_t((bits & 0x87f0) + low);
  return {(bits & 0x7f0) == 0 ? std::uint16_t(0) : number};
}

// The same in a block with infinity.
template <bool is_signed>
FASTNN_STEP Bfloat16 decode_or_infinity(std::int16_t byte, std::uint16_t base) {
  const std::uint16_t sign = is_signed ? byte & 0x8000 : 0;
  if ((byte & kLastCode<is_signed>) == kLastCode<is_signed>) return {std::uint16_t(sign | 0x7f80)};
  return decode<is_signed>(byte, base);
}

}  // namespace fastnn
