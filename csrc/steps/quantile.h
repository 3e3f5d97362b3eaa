// The normal distribution turned around: from a probability to the value that is exceeded with it.
#pragma once

#include "steps/special.h"

namespace fastnn {

// z / (Phi(z) - 1/2) as a function of w = -ln(4 Phi(z) Phi(-z)): M. Giles, "Approximating the erfinv function", GPU Computing
// Gems 2 (2011), chose this variable. Made with mpmath in 30 digits, by chebyfit, in w - 2.5 over 0 <= w <= 5; and, divided
// by sqrt w, in 1 / sqrt w - 0.3 over 5 <= w <= 45. Relative errors 1e-8 and 7e-8.
static constexpr double quantile_near_term(int i) {
  constexpr double c[] = {
      4.24662696, 0.6976040553, -0.01181545132, -0.003543245306, 0.0006175853267, -1.406412673e-5, -9.797629891e-6,
      1.324075403e-6, 6.60040826e-8, -2.526330169e-8};
  return c[i];
}

static constexpr double quantile_far_term(int i) {
  constexpr double c[] = {
      2.687876135, -0.525851579, 0.4743751056, 1.954826946, 6.071859561, 34.83283932, -54.0349031, -765.3608082,
      -296.5051554, 7975.354449, 8474.090956};
  return c[i];
}

// z with Phi(z) = below = 1 - above = 1/2 + centre. All three are given, since each is what the others lose where it is small.
// In double a step of Halley's method follows.
template <class T>
FASTNN_STEP T normal_quantile(T centre, T below, T above) {
  const T w = -logarithm_of_normal(4 * below * above);
  const T root = square_root(w < 1 ? T(1) : w);
  const T near = series<quantile_near_term, 0, 9>(w - T(2.5));
  const T far = root * series<quantile_far_term, 0, 10>(1 / root - T(0.3));
  const T z = centre * (w < 5 ? near : far);
  if constexpr (sizeof(T) == 4) return z;
  const T size = magnitude(z);
  const NormalTail<T> at = normal_tail(size);
  const T step = (at.tail - (z < 0 ? below : above)) / (at.bell * T(0x1.9884533d43651p-2));
  return with_sign_of(size + 2 * step / (2 - step * size), z);
}

// P(Z > x) / e^(-x^2 / 2) for x >= 3, by the asymptotic series (M. Abramowitz, I. Stegun, 1964, 26.2.12) where normal_tail ends.
FASTNN_STEP double tail_over_bell(double x) {
  const NormalTail<double> at = normal_tail(x < 38 ? x : 38.0);
  const double y = 1 / (x * x);
  const double series = 1 - y * (1 - 3 * y * (1 - 5 * y * (1 - 7 * y * (1 - 9 * y))));
  return x < 38 ? at.tail / at.bell : series * 0x1.9884533d43651p-2 / x;
}

// How far beyond a >= 3 that x lies for which P(Z > x) = e^(-e / 2) P(Z > a). With M = tail_over_bell it solves
// x^2 - a^2 - 2 ln(M(x) / M(a)) = e by Newton's method, from where the second term is left out (G. Marsaglia, "Generating a
// variable from the tail of the normal distribution", Technometrics 6 (1964)).
FASTNN_STEP double beyond_tail(double e, double a, double tail_over_bell_a) {
  double d = e / (a + square_root(a * a + e));
  for (int i = 0; i < 3; ++i) {
    const double m = tail_over_bell(a + d);
    const double f = d * (2 * a + d) - 2 * logarithm_of_normal(m / tail_over_bell_a) - e;
    d -= f * m * 0x1.40d931ff62706p+0;
  }
  return d < 0 ? 0 : d;
}

template <class T>
FASTNN_STEP T clamped(T x, T low, T high) {
  return x < low ? low : (x > high ? high : x);
}

// -2 ln(1 - y): what rounding 1 - y loses is made up for (W. Kahan's trick for ln(1 + x)).
FASTNN_STEP double twice_minus_logarithm(double y) {
  const double rest = 1 - y;
  return rest == 1 ? 2 * y : 2 * logarithm_of_normal(rest) * (y / (rest - 1));
}

}  // namespace fastnn
