// x Phi(x), where Phi is the standard normal distribution, and its derivative Phi(x) + x phi(x). In float the value
// takes the tail of the distribution as a power of 2 whose exponent is a polynomial; the derivative is e^(-x^2 / 2) times
// a polynomial. One polynomial in x^2 for Phi - 1/2 has larger errors in x Phi(x) for x > 3.
#pragma once

#include "steps/special.h"

namespace fastnn {

static constexpr double kDensity = 0x1.9884533d43651p-2;  // phi(0)

// Coefficients of (log2 Phi(x) + 1) / x in x for -7 <= x <= 0. They minimise the largest error of x Phi(x), which is
// 5e-9, and for |x| < 0.75 the largest relative error, which is 3e-8. Found by least squares, repeated with the weights
// multiplied by the error; each coefficient is rounded to float before the next ones are fitted.
static constexpr double log_tail_term(int i) {
  constexpr double c[] = {1.15110552, -0.459206998, 0.0524907745, 0.00703442981, 8.8592169e-05,
                          -0.000224959062, -5.56079794e-05, -6.23278538e-06, -2.79903645e-07};
  return c[i];
}

// Coefficients of (2^f - 1) / f for |f| <= 1/2.
static constexpr double power_of_two_term(int i) {
  constexpr double c[] = {0.693147004, 0.240222245, 0.0555065088, 0.00967260916, 0.00133028929};
  return c[i];
}

// Coefficients of (1 - Phi(x) - x phi(x)) e^(x^2 / 2) in x, for x >= 0. They minimise the largest error weighted by
// e^(-x^2 / 2), which is 2e-8; found as above. At 0 the polynomial is exact.
static constexpr double slope_tail_term(int i) {
  constexpr double c[] = {0.5, -0.797883451, 0.249977708, -0.132826358, 0.0619684309, -0.0255291965, 0.00905029383,
                          -0.00261420663, 0.000571648241, -8.64021786e-05, 7.8947869e-06, -3.24591326e-07};
  return c[i];
}

// 2^(a b - less) for -125 <= a b <= 0, with a relative error of 1e-7. The product is not rounded.
template <int less>
FASTNN_STEP float power_of_two_product(float a, float b) {
  using R = Real<float>;
  constexpr float round = R::kRound + R::kBias - less;
  const float shifted = fused(a, b, round), f = fused(a, b, round - shifted);
  const float power = from_bits<float>(to_bits(shifted) << R::kMantissa);
  return fused(power * f, series<power_of_two_term, 0, 4>(f), power);
}

// x - x Phi(-x) for x > 0, x Phi(x) below; only the sum rounds. From -7 down the tail, at most 1.3e-12, is taken as 0.
// Returns NaN at minus infinity, as PyTorch does.
FASTNN_STEP float gelu_value(float x) {
  const float below = magnitude(x) > 7 ? -7 : -magnitude(x);
  const float power = power_of_two_product<1>(below, series<log_tail_term, 0, 8>(below));
  return fused(x < below ? x : below, x > -7 ? power : 0.0f, x < 0 ? 0.0f : x);
}

// Computes the slope at -|x|; the slope at |x| is 1 minus that. Returns NaN at both infinities, as PyTorch does.
FASTNN_STEP float gelu_slope(float x) {
  const float size = magnitude(x) > 13 ? 13 : magnitude(x);
  const float bell = power_of_two_product<0>(size * size, -0.72134752f);  // -1 / (2 ln 2)
  const float slope = bell * series<slope_tail_term, 0, 11>(size);
  return fused(0.0f, x, x < 0 ? slope : 1 - slope);
}

// Taylor coefficients of (Phi(x) - 1/2) / x in x^2, for |x| < 1/2.
static constexpr double normal_middle_term(int i) {
  return (i % 2 ? -kDensity : kDensity) / (factorial(i) * (2 * i + 1) * double(1 << i));
}

// Returns Phi(x), given the probability `tail` of exceeding |x|. Both ends keep their digits; a separate series keeps
// those of the middle.
FASTNN_STEP double normal_distribution(double x, double tail) {
  const double middle = 0.5 + x * series<normal_middle_term, 0, 9>(x * x);
  return magnitude(x) < 0.5 ? middle : (x < 0 ? tail : 1 - tail);
}

FASTNN_STEP double gelu_value(double x) { return x * normal_distribution(x, normal_tail(magnitude(x)).tail); }

FASTNN_STEP double gelu_slope(double x) {
  const NormalTail<double> n = normal_tail(magnitude(x));
  return normal_distribution(x, n.tail) + x * (kDensity * n.bell);
}

}  // namespace fastnn
