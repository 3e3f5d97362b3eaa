// Elementary functions that vectorise and give the same bits on every machine, unlike those of the C library. Each is a
// polynomial on a reduced range. In double these are power series with as many terms as the type can resolve; in float
// they minimise the largest relative error over the range (Remez), with coefficients rounded to float one after the
// other, from the lowest power on. Errors are at most 2 ulp.
#pragma once

#include "steps/portable.h"

namespace fastnn {

template <class T>
struct Real;

template <>
struct Real<float> {
  using Bits = std::int32_t;
  static constexpr int kMantissa = 23, kBias = 127;
  static constexpr float kRound = 0x1.8p23f;  // adding it puts the nearest integer into the low bits
  static constexpr float kLn2High = 0x1.62e4p-1f, kLn2Low = 0x1.7f7d1cf79abcap-20f;
  static constexpr float kExpMin = -104.0f, kExpMax = 89.0f, kExpNone = -88.0f;
  static constexpr float kMinNormal = 0x1p-126f;
  static constexpr int kExpTerms = 6;
};

template <>
struct Real<double> {
  using Bits = std::int64_t;
  static constexpr int kMantissa = 52, kBias = 1023;
  static constexpr double kRound = 0x1.8p52;
  static constexpr double kLn2High = 0x1.62e42fefa38p-1, kLn2Low = 0x1.ef35793c7673p-45;
  static constexpr double kExpMin = -746.0, kExpMax = 710.0, kExpNone = -709.1;
  static constexpr double kMinNormal = 0x1p-1022;
  static constexpr int kExpTerms = 13, kAtanhTerms = 10, kSinTerms = 8;
};

template <class T>
FASTNN_STEP typename Real<T>::Bits to_bits(T x) {
  return bits_as<typename Real<T>::Bits>(x);
}

template <class T>
FASTNN_STEP T from_bits(typename Real<T>::Bits x) {
  return bits_as<T>(x);
}

// a * b + c: with one rounding in float; with two in double, since base would call the C library for each fused one.
FASTNN_STEP float multiply_add(float a, float b, float c) { return fused(a, b, c); }
FASTNN_STEP double multiply_add(double a, double b, double c) { return a * b + c; }

// The sum of coefficient(i) * x^(i - first) for i = first, first + step, ... up to last; `power` is x^step. Series in
// float use Horner's rule: loops over vectors compute several at once, so it does not matter that each operation waits
// for the one before, and the fewest operations are the fastest. Longer ones in double are split into even and odd terms,
// after the first `nested` terms. The two halves may nearly cancel: `nested` is for series whose first terms are much
// larger than the sum.
template <double (*coefficient)(int), int first, int last, int nested = 0, int step = 1, class T>
FASTNN_STEP T series(T power) {
  constexpr T c = T(coefficient(first));
  if constexpr (first + step > last) {
    return c;
  } else if constexpr (sizeof(T) == 4) {
    return fused(power, series<coefficient, first + step, last, 0, step>(power), c);
  } else if constexpr (nested > 0 || (last - first) / step < 4) {
    return c + power * series<coefficient, first + step, last, nested - 1, step>(power);
  } else {
    const T square = power * power;
    return series<coefficient, first, last, 0, 2 * step>(square) +
           power * series<coefficient, first + step, last, 0, 2 * step>(square);
  }
}

static constexpr double factorial(int n) { return n <= 1 ? 1.0 : n * factorial(n - 1); }
static constexpr double exp_term(int i) { return 1.0 / factorial(i); }

// The same for |x| <= ln 2 / 2, from the square on.
static constexpr double float_exp_term(int i) {
  constexpr double c[] = {0.49999994, 0.166665167, 0.0416681021, 0.00836916734, 0.00138380541};
  return c[i - 2];
}

// Returns 2^k if it is a normal number.
template <class T>
FASTNN_STEP T power_of_two(typename Real<T>::Bits k) {
  return from_bits<T>((k + Real<T>::kBias) << Real<T>::kMantissa);
}

// Splits x = k ln 2 + r with |r| <= ln 2 / 2: returns r, and k in `whole`. x must lie within kExpMin ... kExpMax.
template <class T>
FASTNN_STEP T exponential_remainder(T x, typename Real<T>::Bits& whole) {
  using R = Real<T>;
  const T shifted = multiply_add(x, T(0x1.71547652b82fep+0), R::kRound);
  const T k = shifted - R::kRound;
  whole = to_bits(shifted) - to_bits(R::kRound);
  return multiply_add(k, -R::kLn2Low, fused_exact(k, -R::kLn2High, x));
}

// e^r - 1 for |r| <= ln 2 / 2.
template <class T>
FASTNN_STEP T small_exponential_minus_one(T r) {
  constexpr auto term = sizeof(T) == 4 ? float_exp_term : exp_term;
  return multiply_add(r * r, series<term, 2, Real<T>::kExpTerms, 1>(r), r);
}

// 2^k e^r. 2^k is applied as two factors, since 2^k alone may overflow or underflow.
template <class T>
FASTNN_STEP T scaled_exponential(T r, typename Real<T>::Bits k) {
  const auto half = k >> 1;
  return (1 + small_exponential_minus_one(r)) * power_of_two<T>(half) * power_of_two<T>(k - half);
}

// Clamps x to kExpMin ... kExpMax, beyond which e^x is zero or infinity; NaN stays NaN.
template <class T>
FASTNN_STEP T exponential_range(T x) {
  x = x < Real<T>::kExpMin ? Real<T>::kExpMin : x;
  return x > Real<T>::kExpMax ? Real<T>::kExpMax : x;
}

template <class T>
FASTNN_STEP T exponential(T x) {
  typename Real<T>::Bits k;
  const T r = exponential_remainder(exponential_range(x), k);
  return scaled_exponential(r, k);
}

// power * (1 + fraction), where `power` is a power of 2.
template <class T>
struct Scaled {
  T power, fraction;
};

// e^x for x <= -kExpNone. Below kExpNone, where e^x is no normal number, `power` is zero.
template <class T>
FASTNN_STEP Scaled<T> split_exponential(T x) {
  using R = Real<T>;
  constexpr T round = R::kRound + T(R::kBias);  // puts k + bias into the low bits
  x = x < R::kExpNone ? R::kExpNone : x;
  const T shifted = multiply_add(x, T(0x1.71547652b82fep+0), round);
  const T k = shifted - round, r = multiply_add(k, -R::kLn2Low, fused_exact(k, -R::kLn2High, x));
  return {from_bits<T>(to_bits(shifted) << R::kMantissa), small_exponential_minus_one(r)};
}

// The product with a power of 2 is exact, so this rounds once in double too.
template <class T>
FASTNN_STEP T exponential_of_negative(T x) {
  const Scaled<T> e = split_exponential(x);
  return multiply_add(e.power, e.fraction, e.power);
}

}  // namespace fastnn
