// Elementary functions that vectorise and give the same bits on every machine, unlike those of the C library. Each is a
// power series on a reduced range, with as many terms as the type can resolve. Errors are at most 2 ulp.
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
  static constexpr int kExpTerms = 7, kAtanhTerms = 4, kSinTerms = 4;
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

// The sum of coefficient(i) * x^(i - first) for i = first, first + step, ... up to last; `power` is x^step. Short
// series use Horner's rule, in which every operation waits for the one before. Longer ones are split into even and odd
// terms, after the first `nested` terms. The two halves may nearly cancel: `nested` is for series whose first terms are
// much larger than the sum.
template <double (*coefficient)(int), int first, int last, int nested = 0, int step = 1, class T>
FASTNN_STEP T series(T power) {
  constexpr T c = T(coefficient(first));
  if constexpr (first + step > last) {
    return c;
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
static constexpr double atanh_term(int i) { return 1.0 / (2 * i + 1); }
static constexpr double sin_term(int i) { return (i % 2 ? -1.0 : 1.0) / factorial(2 * i + 1); }
static constexpr double cos_term(int i) { return (i % 2 ? -1.0 : 1.0) / factorial(2 * i); }

// Returns 2^k if it is a normal number.
template <class T>
FASTNN_STEP T power_of_two(typename Real<T>::Bits k) {
  return from_bits<T>((k + Real<T>::kBias) << Real<T>::kMantissa);
}

// Splits x = k ln 2 + r with |r| <= ln 2 / 2: returns r, and k in `whole`. x must lie within kExpMin ... kExpMax.
template <class T>
FASTNN_STEP T exponential_remainder(T x, typename Real<T>::Bits& whole) {
  using R = Real<T>;
  const T shifted = x * T(0x1.71547652b82fep+0) + R::kRound;
  const T k = shifted - R::kRound;
  whole = to_bits(shifted) - to_bits(R::kRound);
  return (x - k * R::kLn2High) - k * R::kLn2Low;
}

// e^r - 1 for |r| <= ln 2 / 2.
template <class T>
FASTNN_STEP T small_exponential_minus_one(T r) {
  return r + r * r * series<exp_term, 2, Real<T>::kExpTerms, 1>(r);
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

// e^x for x <= 0, flushed to zero below the normal numbers: one factor 2^k is enough, and k = -bias makes it zero.
template <class T>
FASTNN_STEP T exponential_of_negative(T x) {
  using R = Real<T>;
  constexpr T round = R::kRound + T(R::kBias);  // puts k + bias into the low bits
  x = x < R::kExpNone ? R::kExpNone : x;
  const T shifted = x * T(0x1.71547652b82fep+0) + round;
  const T k = shifted - round, r = (x - k * R::kLn2High) - k * R::kLn2Low;
  return (1 + small_exponential_minus_one(r)) * from_bits<T>(to_bits(shifted) << R::kMantissa);
}

// Returns ln x - less * ln 2 for a positive normal x = 2^k m, with m within a factor sqrt 2 of 1, and
// ln m = 2 artanh((m - 1) / (m + 1)).
template <class T>
FASTNN_STEP T logarithm_of_normal(T x, T less = 0) {
  using R = Real<T>;
  const auto bits = to_bits(x);
  const auto exponent = (bits - to_bits(T(0x1.6a09e667f3bcdp-1))) >> R::kMantissa;
  const T m = from_bits<T>(bits - (exponent << R::kMantissa));
  const T k = (from_bits<T>(exponent + to_bits(R::kRound)) - R::kRound) - less;
  const T s = (m - 1) / (m + 1);
  const T ln_m = 2 * s + 2 * s * (s * s) * series<atanh_term, 1, R::kAtanhTerms>(s * s);
  return k * R::kLn2High + (k * R::kLn2Low + ln_m);
}

template <class T>
FASTNN_STEP T logarithm(T x) {
  using R = Real<T>;
  const bool subnormal = x < R::kMinNormal;
  const T ln_x = logarithm_of_normal(subnormal ? x * power_of_two<T>(R::kMantissa) : x, subnormal ? T(R::kMantissa) : T(0));
  const T infinity = T(__builtin_inf());
  const T outside = x == 0 ? -infinity : (x == infinity ? infinity : T(__builtin_nan("")));
  return x > 0 && x < infinity ? ln_x : outside;
}

template <class T>
FASTNN_STEP T with_sign_changed(T x, typename Real<T>::Bits bit1) {
  return from_bits<T>(to_bits(x) ^ ((bit1 & 2) << (8 * sizeof(T) - 2)));
}

// sin and cos of 2 pi u for u in [0, 1]. The nearest quarter turn is subtracted exactly; the bits of its number give
// the signs.
template <class T>
FASTNN_STEP void sin_cos_turn(T u, T& sin_u, T& cos_u) {
  using R = Real<T>;
  const T shifted = 4 * u + R::kRound;
  const T angle = (u - (shifted - R::kRound) * T(0.25)) * T(0x1.921fb54442d18p+2);
  const T square = angle * angle;
  const T s = angle * series<sin_term, 0, R::kSinTerms>(square);
  const T c = series<cos_term, 0, R::kSinTerms>(square);
  const auto quarter = to_bits(shifted) - to_bits(R::kRound);
  const bool odd = (quarter & 1) != 0;
  sin_u = with_sign_changed(odd ? c : s, quarter);
  cos_u = with_sign_changed(odd ? s : c, quarter + 1);
}

}  // namespace fastnn
