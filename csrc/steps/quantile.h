// Quantiles of the normal distribution: from a probability to the value, in the middle and in the tails.
#pragma once

#include "steps/special.h"

namespace fastnn {

// Coefficients of z / (Phi(z) - 1/2) as a function of w = -ln(4 Phi(z) Phi(-z)), the variable chosen by M. Giles,
// "Approximating the erfinv function", GPU Computing Gems 2 (2011). The near ones are in w - 2.5 over 0 <= w <= 5. The
// far ones are divided by sqrt w, in 1 / sqrt w - 0.3 over 5 <= w <= 45. Fitted by mpmath's chebyfit with 30 digits.
// Relative errors are 1e-8 and 7e-8.
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

// The end of normal_quantile's polynomial for the middle.
constexpr double kQuantileMiddle = 2.9;

// Returns z with Phi(z) = below = 1 - above = 1/2 + centre. All three are given, since each keeps the digits that the
// others lose where it is small. w = -ln(4 below above); |z| <= kQuantileMiddle, unless `far`. The double version adds
// one step of Halley's method.
template <bool far, class T>
FASTNN_STEP T normal_quantile(T w, T centre, T below, T above) {
  T ratio = series<quantile_near_term, 0, 9>(w - T(2.5));
  if constexpr (far) {
    const T root = square_root(w < 1 ? T(1) : w);
    const T far_ratio = root * series<quantile_far_term, 0, 10>(1 / root - T(0.3));
    ratio = w < 5 ? ratio : far_ratio;
  }
  const T z = centre * ratio;
  if constexpr (sizeof(T) == 4) return z;
  const T size = magnitude(z);
  const NormalTail<T> at = normal_tail(size);
  const T step = (at.tail - (z < 0 ? below : above)) / (at.bell * T(0x1.9884533d43651p-2));
  return with_sign_of(size + 2 * step / (2 - step * size), z);
}

// P(Z > x) / e^(-x^2 / 2) for x >= 3. Beyond the range of normal_tail it uses the asymptotic series (M. Abramowitz, I.
// Stegun, 1964, 26.2.12).
FASTNN_STEP double tail_over_bell(double x) {
  const NormalTail<double> at = normal_tail(x < 38 ? x : 38.0);
  const double y = 1 / (x * x);
  const double series = 1 - y * (1 - 3 * y * (1 - 5 * y * (1 - 7 * y * (1 - 9 * y))));
  return x < 38 ? at.tail / at.bell : series * 0x1.9884533d43651p-2 / x;
}

// The tail of the normal distribution beyond start >= 3.
struct Tail {
  double start, over_bell;  // tail_over_bell(start)
};

// One step of Newton's method for x^2 - a^2 - 2 ln(M(x) / M(a)) = e, where d = x - a and M = tail_over_bell.
FASTNN_STEP double closer(double d, double e, const Tail& a) {
  const double m = tail_over_bell(a.start + d);
  const double f = d * (2 * a.start + d) - 2 * logarithm_of_normal(m / a.over_bell) - e;
  return d - f * m * 0x1.40d931ff62706p+0;
}

// Returns d such that P(Z > start + d) = e^(-e / 2) P(Z > start). The first guess leaves out the logarithm (G.
// Marsaglia, "Generating a variable from the tail of the normal distribution", Technometrics 6 (1964)).
FASTNN_STEP double beyond_tail(double e, const Tail& a) {
  const double d = e / (a.start + square_root(a.start * a.start + e));
  const double x = closer(closer(closer(d, e, a), e, a), e, a);
  return x < 0 ? 0 : x;
}

template <class T>
FASTNN_STEP T clamped(T x, T low, T high) {
  return x < low ? low : (x > high ? high : x);
}

// -2 ln(1 - y), corrected for the rounding of 1 - y (W. Kahan's trick for ln(1 + x)).
FASTNN_STEP double twice_minus_logarithm(double y) {
  const double rest = 1 - y;
  return rest == 1 ? 2 * y : 2 * logarithm_of_normal(rest) * (y / (rest - 1));
}

}  // namespace fastnn
