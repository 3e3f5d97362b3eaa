// The normal distribution Phi(x), and the derivative of x Phi(x), which is Phi(x) + x phi(x). In float both come from one
// polynomial beside e^(-x^2 / 2), to 1e-7. Phi(x) as 1/2 and x times a polynomial in x^2 took a fifth less time, but x Phi(x) was
// off by more than PyTorch's for x > 3.
#pragma once

#include "steps/special.h"

namespace fastnn {

static constexpr double kDensity = 0x1.9884533d43651p-2;  // phi(0)

// Of (1 - Phi(x)) / phi(x) - x in x, for x >= 0, with the least largest error when weighted by phi(x): least squares, its
// weights multiplied by the error again and again.
static constexpr double slope_tail_term(int i) {
  constexpr double c[] = {
      1.25331409, -1.99999579, 0.626588321, -0.332894746, 0.155220294, -0.0638483973, 0.0225693145, -0.00649240186,
      0.00141287053, -0.000212489903, 1.93231036e-05, -7.90952044e-07};
  return c[i];
}

struct FloatTail {
  float size, density, slope;  // |x|, phi(x), and phi(x) times that polynomial: the tail beyond |x| less |x| phi(x)
};

FASTNN_STEP FloatTail normal_tail_and_slope(float x) {
  const float size = magnitude(x) > 13 ? 13 : magnitude(x);  // from 13 on it is nothing
  const float density = float(kDensity) * exponential_of_negative(-0.5f * size * size);
  return {size, density, density * series<slope_tail_term, 0, 11>(size)};
}

// x Phi(x). Beyond 0 it is x less x times the tail: 1 - tail would be rounded, and x times that again. As in PyTorch, NaN
// at minus infinity.
FASTNN_STEP float gelu_value(float x) {
  const FloatTail n = normal_tail_and_slope(x);
  const float tail = n.slope + n.size * n.density;  // far out rounding may make it less than nothing
  return (x < 0 ? 0 * x : x) - n.size * (tail < 0 ? 0 : tail);
}

// The tail of -|x|, and 1 less that of |x|. As in PyTorch, NaN at both infinities.
FASTNN_STEP float gelu_slope(float x) {
  const float slope = normal_tail_and_slope(x).slope;
  return (x < 0 ? slope : 1 - slope) + 0 * x;
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

FASTNN_STEP double gelu_value(double x) { return x * normal_distribution(x, normal_tail(magnitude(x)).tail); }

FASTNN_STEP double gelu_slope(double x) {
  const NormalTail<double> n = normal_tail(magnitude(x));
  return normal_distribution(x, n.tail) + x * (kDensity * n.bell);
}

}  // namespace fastnn
