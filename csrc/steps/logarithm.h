// Natural logarithms.
#pragma once

#include "steps/math.h"

namespace fastnn {

// x = 2^k m, for a positive normal x, with m within a factor sqrt 2 of 1.
template <class T>
struct Parts {
  T k, m;
};

template <class T>
FASTNN_STEP Parts<T> parts_of(T x) {
  using R = Real<T>;
  const auto bits = to_bits(x);
  const auto exponent = (bits - to_bits(T(0x1.6a09e667f3bcdp-1))) >> R::kMantissa;
  return {from_bits<T>(exponent + to_bits(R::kRound)) - R::kRound, from_bits<T>(bits - (exponent << R::kMantissa))};
}

static constexpr double atanh_term(int i) { return 1.0 / (2 * i + 1); }

// Returns ln x - less * ln 2 for a positive normal x, with ln m = 2 artanh((m - 1) / (m + 1)).
FASTNN_STEP double logarithm_of_normal(double x, double less = 0) {
  using R = Real<double>;
  const Parts<double> x_parts = parts_of(x);
  const double k = x_parts.k - less, s = (x_parts.m - 1) / (x_parts.m + 1);
  const double ln_m = 2 * s + 2 * s * (s * s) * series<atanh_term, 1, R::kAtanhTerms>(s * s);
  return k * R::kLn2High + (k * R::kLn2Low + ln_m);
}

// Coefficients of ((ln(1 + f) - f) / f^2 + 1 / 2) / f.
static constexpr double float_log_term(int i) {
  constexpr double c[] = {0.333333135, -0.250001669, 0.200022236, -0.166593611, 0.142095581,
                          -0.125497073, 0.121105984, -0.109150507, 0.0532472394};
  return c[i];
}

// ln(1 + f) for 1 + f within a factor sqrt 2 of 1. In float there is no division, which rounds once more.
FASTNN_STEP float small_logarithm_plus_one(float f) {
  return fused(f * f, fused(f, series<float_log_term, 0, 8>(f), -0.5f), f);
}

FASTNN_STEP float logarithm_of_normal(float x, float less = 0) {
  const Parts<float> x_parts = parts_of(x);
  return fused(x_parts.k - less, 0x1.62e43p-1f, small_logarithm_plus_one(x_parts.m - 1));
}

template <class T>
FASTNN_STEP T logarithm(T x) {
  using R = Real<T>;
  const bool subnormal = x < R::kMinNormal;
  const T scaled = subnormal ? x * power_of_two<T>(R::kMantissa) : x;
  const T ln_x = logarithm_of_normal(scaled, subnormal ? T(R::kMantissa) : T(0));
  const T infinity = T(__builtin_inf());
  const T outside = x == 0 ? -infinity : (x == infinity ? infinity : T(__builtin_nan("")));
  return x > 0 && x < infinity ? ln_x : outside;
}

// ln(1 + u) for u in [0, 1], as in logarithm_of_normal(), where m is 1 + u or half of it.
FASTNN_STEP double logarithm_plus_one(double u) {
  const bool halved = u > 0x1.a827999fcef32p-2;
  const double twice_s = 2 * (halved ? u - 1 : u) / (u + (halved ? 3.0 : 2.0));
  const double square = 0.25 * twice_s * twice_s;
  const double ln_m = twice_s + twice_s * square * series<atanh_term, 1, Real<double>::kAtanhTerms>(square);
  return halved ? 0x1.62e42fefa39efp-1 + ln_m : ln_m;
}

FASTNN_STEP float logarithm_plus_one(float u) {
  const bool halved = u > 0x1.a82798p-2f;
  return small_logarithm_plus_one(halved ? fused_exact(0.5f, u, -0.5f) : u) + (halved ? 0x1.62e43p-1f : 0.0f);
}

}  // namespace fastnn
