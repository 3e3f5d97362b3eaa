// x Phi(x), Phi being the standard normal distribution, and its derivative Phi(x) + x phi(x). In float Phi comes from polynomials
// beside e^(-x^2 / 2): one polynomial in x^2 for Phi - 1/2 everywhere took a fifth less time, but x Phi(x) was off by more than
// PyTorch's for x > 3; the tail alone everywhere was off by more than that near 0.
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

// Of (Phi(x) - 1/2) / x in x^2, |x| <= 1, and of (1 - Phi(x)) / phi(x) in x, 1 <= x <= 6, with the least largest error of
// x Phi(x): 7e-9 and 5e-9. Found as above.
static constexpr double float_middle_term(int i) {
  constexpr double c[] = {0.398942199, -0.06648873, 0.00996416673, -0.00116535065, 9.24683313e-05};
  return c[i];
}

static constexpr double float_tail_term(int i) {
  constexpr double c[] = {1.25096437, -0.986735753, 0.593140611, -0.282947491, 0.105995501,
                          -0.0301489157, 0.00620396491, -0.000861817561, 7.17416197e-05, -2.68714341e-06};
  return c[i];
}

// Beyond 1 it is x less x times the tail: 1 - tail would be rounded, and x times that again. As in PyTorch, NaN at minus
// infinity.
FASTNN_STEP float gelu_value(float x) {
  const float size = magnitude(x) > 13 ? 13 : magnitude(x);  // from 13 on the tail is nothing
  const float square = size * size;
  const float middle = x * (0.5f + x * series<float_middle_term, 0, 4>(square));
  const float tail = float(kDensity) * exponential_of_negative(-0.5f * square) * series<float_tail_term, 0, 9>(size);
  const float outer = (x < 0 ? 0 * x : x) - size * (tail < 0 ? 0 : tail);  // far out rounding may make it less than nothing
  return magnitude(x) < 1 ? middle : outer;
}

// The tail of -|x|, and 1 less that of |x|. As in PyTorch, NaN at both infinities.
FASTNN_STEP float gelu_slope(float x) {
  const float size = magnitude(x) > 13 ? 13 : magnitude(x);
  const float density = float(kDensity) * exponential_of_negative(-0.5f * size * size);
  const float slope = density * series<slope_tail_term, 0, 11>(size);
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
