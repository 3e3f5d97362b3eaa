// What activations and losses share beyond math.h.
#pragma once

#include "steps/math.h"

namespace fastnn {

// As many terms of artanh's series as the type can show up to 1 / 3.
template <class T>
constexpr int kLogTerms = sizeof(T) == sizeof(float) ? 7 : 15;

// ln(1 + u) = 2 artanh(u / (2 + u)) for u in [0, 1]; M. Abramowitz, I. Stegun, "Handbook of mathematical functions", 1964,
// 4.1.27 and 4.6.22. <= 2 ulp.
template <class T>
FASTNN_STEP T logarithm_plus_one(T u) {
  const T s = u / (2 + u);
  return 2 * s + 2 * s * (s * s) * series<atanh_term, 1, kLogTerms<T>>(s * s);
}

// 1 / (1 + e^-x), with an exponential that never overflows.
template <class T>
FASTNN_STEP T sigmoid(T x) {
  const T u = exponential(x < 0 ? x : -x);
  return (x < 0 ? u : T(1)) / (1 + u);
}

}  // namespace fastnn
