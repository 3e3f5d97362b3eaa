// Random numbers from a counter. Philox4x32-10: J. K. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC
// 2011, section 3.3. Normals: G. Box, M. Muller, Ann. Math. Stat. 29 (1958).
#pragma once

#include "steps/logarithm.h"

namespace fastnn {

struct PhiloxConstants {
  static constexpr int kRounds = 10;
  static constexpr std::uint64_t kMultiplier0 = 0xD2511F53, kMultiplier1 = 0xCD9E8D57;
  static constexpr std::uint32_t kWeyl0 = 0x9E3779B9, kWeyl1 = 0xBB67AE85;
};

// One round on four words in the low halves of W, a 64-bit integer or a vector of them. The high halves hold garbage,
// which multiply_low and the shift ignore.
template <class W, class Multiply>
FASTNN_STEP void philox_round(W& x0, W& x1, W& x2, W& x3, W key0, W key1, W m0, W m1, Multiply multiply_low) {
  const W p0 = multiply_low(x0, m0), p1 = multiply_low(x2, m1);
  x0 = (p1 >> 32) ^ x1 ^ key0;
  x2 = (p0 >> 32) ^ x3 ^ key1;
  x1 = p1;
  x3 = p0;
}

struct PhiloxWords {
  std::uint32_t word[4];
};

// Returns the four words of one counter, whose upper half is the stream. The key is the seed.
FASTNN_STEP PhiloxWords philox_words(std::uint64_t seed, std::uint64_t stream, std::uint64_t counter) {
  constexpr std::uint64_t kLow = 0xffffffff;
  const auto multiply_low = [](std::uint64_t a, std::uint64_t b) { return (a & kLow) * (b & kLow); };
  std::uint64_t x[4] = {counter, counter >> 32, stream, stream >> 32};
  std::uint32_t key0 = std::uint32_t(seed), key1 = std::uint32_t(seed >> 32);
  for (int round = 0; round < PhiloxConstants::kRounds; ++round) {
    philox_round(x[0], x[1], x[2], x[3], std::uint64_t(key0), std::uint64_t(key1), PhiloxConstants::kMultiplier0,
                 PhiloxConstants::kMultiplier1, multiply_low);
    key0 += PhiloxConstants::kWeyl0;
    key1 += PhiloxConstants::kWeyl1;
  }
  return {{std::uint32_t(x[0]), std::uint32_t(x[1]), std::uint32_t(x[2]), std::uint32_t(x[3])}};
}

// A dropped value is exactly 0, whatever x is. So this selects and never multiplies.
template <class T>
FASTNN_STEP T keep_or_drop(T x, std::uint32_t bits16, std::uint32_t threshold, T scale) {
  return bits16 < threshold ? T(0) : x * scale;
}

// Alpha dropout: dropped elements become a constant, and an affine map of all elements preserves mean and variance.
template <class T>
FASTNN_STEP T keep_or_replace(T x, std::uint32_t bits16, std::uint32_t threshold, T scale, T shift, T dropped) {
  return bits16 < threshold ? dropped : x * scale + shift;
}

// Returns a uniform number in [0, 1), a multiple of 2^-24 or 2^-53.
FASTNN_STEP float unit(std::uint32_t a) { return float(std::int32_t(a >> 8)) * 0x1p-24f; }

FASTNN_STEP double unit(std::uint32_t a, std::uint32_t b) {
  return (double(std::int32_t(a >> 5)) * 0x1p26 + double(std::int32_t(b >> 6))) * 0x1p-53;
}

// low + (high - low) * u may round up to high, which a half-open interval must not return.
template <class T>
FASTNN_STEP T uniform_between(T u, T low, T width, T largest) {
  const T value = low + width * u;
  return value > largest ? largest : value;
}

static constexpr double sin_term(int i) { return (i % 2 ? -1.0 : 1.0) / factorial(2 * i + 1); }
static constexpr double cos_term(int i) { return (i % 2 ? -1.0 : 1.0) / factorial(2 * i); }

FASTNN_STEP double with_sign_changed(double x, std::int64_t bit1) {
  return from_bits<double>(to_bits(x) ^ ((bit1 & 2) << 62));
}

// sin and cos of 2 pi u for u in [0, 1]. The nearest quarter turn is subtracted exactly; the bits of its number give
// the signs.
FASTNN_STEP void sin_cos_turn(double u, double& sin_u, double& cos_u) {
  using R = Real<double>;
  const double shifted = 4 * u + R::kRound;
  const double angle = (u - (shifted - R::kRound) * 0.25) * 0x1.921fb54442d18p+2;
  const double square = angle * angle;
  const double s = angle * series<sin_term, 0, R::kSinTerms>(square);
  const double c = series<cos_term, 0, R::kSinTerms>(square);
  const auto quarter = to_bits(shifted) - to_bits(R::kRound);
  const bool odd = (quarter & 1) != 0;
  sin_u = with_sign_changed(odd ? c : s, quarter);
  cos_u = with_sign_changed(odd ? s : c, quarter + 1);
}

// Coefficients of sin(2 pi u) / u in u^2 for |u| <= 1/4.
static constexpr double float_turn_term(int i) {
  constexpr double c[] = {6.28318548, -41.3417664, 81.6086349, -76.7279816, 40.8759117};
  return c[i];
}

FASTNN_STEP float small_turn_sin(float u) { return u * series<float_turn_term, 0, 4>(u * u); }

// In float the nearest half turn is subtracted, and cos(2 pi u) is sin(2 pi (1/4 - |u|)): one series serves both, and
// the quarters need not be told apart.
FASTNN_STEP void sin_cos_turn(float u, float& sin_u, float& cos_u) {
  const float shifted = fused_exact(2.0f, u, Real<float>::kRound);
  const float rest = fused_exact(shifted - Real<float>::kRound, -0.5f, u);
  const auto sign = to_bits(shifted) << 31;
  sin_u = from_bits<float>(to_bits(small_turn_sin(rest)) ^ sign);
  cos_u = from_bits<float>(to_bits(small_turn_sin(0.25f - (rest < 0 ? -rest : rest))) ^ sign);
}

// Makes two independent standard normals from u1 in (0, 1] and u2 in [0, 1).
template <class T>
FASTNN_STEP void box_muller(T u1, T u2, T& z0, T& z1) {
  const T radius = square_root(T(-2) * logarithm_of_normal(u1));
  T sine, cosine;
  sin_cos_turn(u2, sine, cosine);
  z0 = radius * cosine;
  z1 = radius * sine;
}

}  // namespace fastnn
