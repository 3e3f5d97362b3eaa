// Numbers in fewer bits than they are computed in. Rounding of state is stochastic, so that a change smaller than a step
// between neighbours is kept on average: S. Gupta et al., "Deep learning with limited numerical precision", ICML 2015.
#pragma once

#include "steps/portable.h"

namespace fastnn {

// The upper half of a float32.
struct Bfloat16 {
  std::uint16_t bits;
};

FASTNN_STEP float widen(Bfloat16 x) { return bits_as<float>(std::int32_t(std::uint32_t(x.bits) << 16)); }

// To nearest, ties to even; what added bits would turn into infinity or another NaN stays a NaN.
FASTNN_STEP Bfloat16 to_nearest(float x) {
  const auto bits = std::uint32_t(bits_as<std::int32_t>(x));
  const std::uint32_t rounded = bits + 0x7fff + ((bits >> 16) & 1);
  return {std::uint16_t((x == x ? rounded : bits | 0x400000) >> 16)};
}

// Up with the probability of the bits dropped; random20 is uniform below 2^20. Neither infinity nor NaN is rounded; a NaN
// out of arithmetic has its first mantissa bit set, and stays one.
FASTNN_STEP Bfloat16 to_random(float x, std::uint32_t random20) {
  const auto bits = std::uint32_t(bits_as<std::int32_t>(x));
  const bool finite = (bits & 0x7f800000) != 0x7f800000;
  return {std::uint16_t((bits + (finite ? random20 >> 4 : 0)) >> 16)};
}

// A byte stands for a float of three mantissa bits. The magnitude of such a float is a short: the bits of a float32 but for
// the lower twenty and the sign, a number of 11 bits that is one more for the next larger float. A byte's code is a short
// counted from a base, so that the last code but one is the block's scale, a power of two not below any magnitude: down to
// 2^-16 of the scale for a signed number, whose sign is the byte's upper bit, and to 2^-32 for one that is never negative.
// Code 0 is zero for a signed number; the other kind is a divisor, and keeps off zero.

// Up with the probability of the bits dropped.
FASTNN_STEP std::uint16_t to_short(float x, std::uint32_t random20) {
  return std::uint16_t(((std::uint32_t(bits_as<std::int32_t>(x)) & 0x7fffffff) + random20) >> 20);
}

// Scales are between these shorts, where all codes are normal numbers. What is larger is infinite, or NaN, which becomes
// infinity: its parameter is NaN by then. It has the last code, and its block a scale below zero; in other blocks, nearly
// all, no code is the last, and nobody has to look for it.
static constexpr std::uint16_t kLowScale = 33 << 3, kHighScale = 252 << 3;

// By the largest short up to kHighScale.
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

// What `encode` takes for a short in a block with infinity.
template <bool is_signed>
FASTNN_STEP std::uint16_t or_last(std::uint16_t magnitude, std::uint16_t base) {
  return magnitude > kHighScale ? std::uint16_t(base + kLastCode<is_signed>) : magnitude;
}

// The byte of x, whose short is given.
template <bool is_signed>
FASTNN_STEP std::uint8_t encode(float x, std::uint16_t magnitude, std::uint16_t base) {
  const auto code = std::uint16_t((magnitude > base ? magnitude : base) - base);
  return std::uint8_t(is_signed && bits_as<std::int32_t>(x) < 0 ? code | 0x80 : code);
}

// A signed number's byte comes with its sign extended.
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
