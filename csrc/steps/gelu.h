// The normal distribution Phi(x), and the derivative of x Phi(x), which is Phi(x) + x phi(x). In float Phi(x) is 1/2 and x
// times an even function, of which a polynomial in x^2 gives all digits that Phi(x) can show, without e^x or a division. In
// double it would take three times the terms, so there the tail is had from e^(-x^2 / 2).
#pragma once

#include "steps/special.h"

namespace fastnn {

static constexpr double kDensity = 0x1.9884533d43651p-2;  // phi(0)

// Of (Phi(x) - 1/2) / x in t = x^2 / 15 - 1. Made with mpmath in 50 digits, by chebyfit(f, [-1, 1], 16).
static constexpr double normal_term(int i) {
  constexpr double c[] = {
      0.129085562169, -0.0644324570826, 0.0479110200047, -0.0388913810889, 0.0320823309028, -0.0259694161022,
      0.0202368876512, -0.0148599280129, 0.0100051486876, -0.00654668083458, 0.00454596609294, -0.00248604878565,
      0.000638094720843, -0.000388349992851, 0.000609670906519, -0.000253332480426};
  return c[i];
}

// To 1.5e-7. At the end of the range, which was searched for, rounding gives exactly 0 and 1.
FASTNN_STEP float normal_distribution(float x) {
  constexpr float kEnd = 0x1.5cb8p+2f;
  x = x < -kEnd ? -kEnd : x;
  x = x > kEnd ? kEnd : x;
  return 0.5f + x * series<normal_term, 0, 15, 4>(x * x * float(1.0 / 15) - 1);
}

// Of (1 - Phi(x)) / phi(x) - x in x, for x >= 0, with the least largest error when weighted by phi(x): least squares, its
// weights multiplied by the error again and again.
static constexpr double slope_tail_term(int i) {
  constexpr double c[] = {
      1.25331409, -1.99999579, 0.626588321, -0.332894746, 0.155220294, -0.0638483973, 0.0225693145, -0.00649240186,
      0.00141287053, -0.000212489903, 1.93231036e-05, -7.90952044e-07};
  return c[i];
}

// To 2e-7. The tail of -|x|, and 1 less that of |x|; from 13 on it is nothing. As in PyTorch, NaN at both infinities.
FASTNN_STEP float gelu_slope(float x) {
  const float size = magnitude(x) > 13 ? 13 : magnitude(x);
  const float density = float(kDensity) * exponential_of_negative(-0.5f * size * size);
  const float tail = density * series<slope_tail_term, 0, 11>(size);
  return (x < 0 ? tail : 1 - tail) + 0 * x;
}

// Of (Phi(x) - 1/2) / x in x^2: Taylor's series, for |x| < 1/2.
static constexpr double normal_middle_term(int i) {
  return (i % 2 ? -kDensity : kDensity) / (factorial(i) * (2 * i + 1) * double(1 << i));
}

// From the probability of more than |x|: both ends keep their digits, and by a series of its own the middle too.
FASTNN_STEP double normal_distribution(double x, double tail) {
  const double middle = 0.5 + x * series<normal_middle_term, 0, 9>(x * x);
  return magnitude(x) < 0.5 ? middle : (x < 0 ? tail : 1 - tail);
}

FASTNN_STEP double normal_distribution(double x) { return normal_distribution(x, normal_tail(magnitude(x)).tail); }

FASTNN_STEP double gelu_slope(double x) {
  const NormalTail<double> n = normal_tail(magnitude(x));
  return normal_distribution(x, n.tail) + x * (kDensity * n.bell);
}

}  // namespace fastnn
