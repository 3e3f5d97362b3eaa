// Functions made of e^x and series, for activations and losses. Small results keep their digits. The largest errors
// over all float32, in ulp: tanh 0.61, erf 1.57 (and exp 1.02, log 0.91).
#pragma once

#include "steps/logarithm.h"

namespace fastnn {

template <class T>
struct Special;

template <>
struct Special<float> {
  static constexpr int kErfTerms = 10, kTailTerms = 9;
  static constexpr std::int32_t kSign = std::int32_t(0x80000000), kUpperHalf = ~0xfff;
  static constexpr float kTailEnd = 14.5f;  // the tail of the normal distribution is zero from here on
};

template <>
struct Special<double> {
  static constexpr int kErfTerms = 20, kTailTerms = 22;
  static constexpr std::int64_t kSign = std::int64_t(0x8000000000000000), kUpperHalf = ~0x7ffffffLL;
  static constexpr double kTailEnd = 38.7;
};

template <class T>
FASTNN_STEP T magnitude(T x) {
  return from_bits<T>(to_bits(x) & ~Special<T>::kSign);
}

template <class T>
FASTNN_STEP T with_sign_of(T size, T x) {
  return from_bits<T>(to_bits(magnitude(size)) | (to_bits(x) & Special<T>::kSign));
}

template <class T>
struct Rounded {
  T value, lost;  // their sum is the exact value
};

// e^x - 1 = 2^k (e^r - 1) + (2^k - 1), computed with 2^k / 2, since 2^k itself may overflow. With k = 0 nothing is
// halved: the smallest x would lose bits. `lost` is right for x <= 0.
template <class T>
FASTNN_STEP Rounded<T> rounded_exponential_minus_one(T x) {
  constexpr T kLowest = sizeof(T) == 4 ? T(-18) : T(-38);  // the result is -1 from here on
  x = x < kLowest ? kLowest : (x > Real<T>::kExpMax ? Real<T>::kExpMax : x);
  typename Real<T>::Bits k;
  const T r = exponential_remainder(x, k);
  const T small = small_exponential_minus_one(r);
  const T half = power_of_two<T>(k - 1);
  const T a = half - T(0.5), b = half * small, sum = a + b;
  return {k == 0 ? small : 2 * sum, k == 0 ? T(0) : 2 * (b - (sum - a))};
}

template <class T>
FASTNN_STEP T exponential_minus_one(T x) {
  return rounded_exponential_minus_one(x).value;
}

// tanh x = -t / (t + 2) with t = e^(-2|x|) - 1, which never overflows. What t and t + 2 lose by rounding is restored to
// first order, with 1 / (t + 2) = (1 + tanh x) / 2.
FASTNN_STEP double hyperbolic_tangent(double x) {
  const Rounded<double> t = rounded_exponential_minus_one(-2 * magnitude(x));
  const double sum = t.value + 2, lost = t.value - (sum - 2);
  const double ratio = -t.value / sum, above = 1 + ratio;
  return with_sign_of(ratio - 0.5 * above * (lost * ratio + t.lost * above), x);
}

// Coefficients of (tanh(x) / x - 1) / x^2 in x^2 for |x| <= 0.4, and of (e^(2h) - 1 - 2h) / h^2.
static constexpr double float_tanh_term(int i) {
  constexpr double c[] = {-0.333333343, 0.133333623, -0.0539656505, 0.0217380095, -0.00765985018};
  return c[i];
}

static constexpr double float_exp2h_term(int i) {
  constexpr double c[] = {2, 1.33333325, 0.666663289, 0.266673535, 0.0891895816, 0.0252977032};
  return c[i];
}

// 1 - 2 / (e^2|x| + 1) for |x| >= 0.4. The denominator is sum + lost and the quotient q + q error / 2, so that only the
// last operation rounds to float. From |x| = 10 on the result is 1.
FASTNN_STEP float large_hyperbolic_tangent(float size) {
  using R = Real<float>;
  constexpr float round = R::kRound + R::kBias;
  size = size > 10 ? 10 : size;
  const float shifted = fused(size, 0x1.715476p+1f, round), k = shifted - round;
  const float h = fused(k, -0x1.62e43p-2f, size);  // 2 |x| = k ln 2 + 2 h + k 1.9e-9
  const float rest = fused(h * h, series<float_exp2h_term, 0, 5>(h), k * 0x1.05c61p-29f);
  const float power = from_bits<float>(to_bits(shifted) << R::kMantissa), twice = 2 * power, next = power + 1;
  const float first = fused_exact(twice, h, next), sum = fused_exact(power, rest, first);
  const float lost = fused_exact(power, rest, first - sum) + fused_exact(twice, h, next - first);
  const float q = 2 / sum, error = fused(-q, lost, fused(-q, sum, 2.0f));
  const float y = 1 - q;
  return y + fused(-0.5f * q, error, (1 - y) - q);
}

FASTNN_STEP float hyperbolic_tangent(float x) {
  const float size = magnitude(x), square = size * size;
  const float small = fused(size * square, series<float_tanh_term, 0, 4>(square), size);
  return with_sign_of(size < 0.4f ? small : large_hyperbolic_tangent(size), x);
}

// 1 + e^-x; infinity where e^-x is greater than the largest power of 2. A product that underflows, and so is not exact,
// is far below the last digit of 1.
template <class T>
FASTNN_STEP T one_plus(const Scaled<T>& exponential_of_minus_x, T x) {
  const Scaled<T>& e = exponential_of_minus_x;
  return x < Real<T>::kExpNone ? T(__builtin_inf()) : fused_exact(e.power, e.fraction, 1 + e.power);
}

// x / (1 + e^-x) if `by` is x, sigmoid(x) if it is 1. Small results keep their digits.
template <class T>
FASTNN_STEP T times_sigmoid(T by, T x) {
  return by / one_plus(split_exponential(-x), x);
}

template <class T>
FASTNN_STEP T sigmoid(T x) {
  return times_sigmoid(T(1), x);
}

template <class T>
struct SigmoidPair {
  T of_x, of_minus_x;
};

// of_minus_x is 1 - of_x, with all its digits.
template <class T>
FASTNN_STEP SigmoidPair<T> sigmoid_pair(T x) {
  const Scaled<T> e = split_exponential(-x);
  const T s = 1 / one_plus(e, x);
  return {s, x < 0 ? 1 - s : multiply_add(e.power, e.fraction, e.power) * s};
}

// Coefficients of (x + 4.25) e^(x^2 / 2) erfc(x / sqrt 2) / 2 in t = (x - 4.25) / (x + 4.25), over 0 <= x <= 39 and 0
// <= x <= 15: M. Shepherd, J. Laframboise, "Chebyshev approximation of (1 + 2x) exp(x^2) erfc x in 0 <= x < inf", Math.
// Comp. 36 (1981), with a factor that comes free with the division for t. Computed with mpmath in 50 digits, by
// chebyfit(f, [-1, (end - 4.25) / (end + 4.25)], terms).
static constexpr double tail_term(int i) {
  constexpr double c[] = {
      0.75955420826720707, -0.625129777083448657, 0.418227525822532558, -0.220516017452784454, 0.0852720761455144387,
      -0.0193583240778324599, -0.000745337941302626843, 0.00214938268864841452, -0.000404456245028603645, -0.000192122995035057687,
      0.0000780054180891347351, 0.0000206490422741942465, -0.0000126196592125989831, -3.19682996338516222e-6, 2.00366210441509612e-6,
      6.77715343107578364e-7, -2.96657129402350214e-7, -1.60393869589261119e-7, 3.12317402107141707e-8, 3.4116471220940998e-8,
      1.26184540651679925e-9, -4.53628874292469593e-9, -1.11284541170379685e-9};
  return c[i];
}

static constexpr double short_tail_term(int i) {
  constexpr double c[] = {
      0.759554207, -0.6251297865, 0.4182276251, -0.2205154199, 0.08527114082,
      -0.01936634603, -0.0007470031722, 0.002185157513, -0.0003696626889, -0.0002373011909};
  return c[i];
}

template <class T>
struct NormalTail {
  T bell, tail;  // e^(-x^2 / 2), and the probability of exceeding x
};

// For x >= 0. The square is computed as high^2 + (x - high)(x + high), where high^2 is exact: rounding the square would
// cost x^2 / 2 ulp of e^(-x^2 / 2).
template <class T>
FASTNN_STEP NormalTail<T> normal_tail(T x) {
  using S = Special<T>;
  x = x > S::kTailEnd ? S::kTailEnd : x;
  const T high = from_bits<T>(to_bits(x) & S::kUpperHalf);
  typename Real<T>::Bits k;
  const T r = multiply_add(T(-0.5) * (x - high), x + high, exponential_remainder(T(-0.5) * high * high, k));
  const T bell = scaled_exponential(r, k);
  const T s = 1 / (x + T(4.25)), t = (x - T(4.25)) * s;
  constexpr auto term = sizeof(T) == 4 ? short_tail_term : tail_term;
  return {bell, series<term, 0, S::kTailTerms, 4>(t) * s * bell};
}

// Taylor coefficients of erf(x) / x - 1 in x^2.
static constexpr double erf_term(int i) {
  return (i % 2 ? -1.0 : 1.0) / (factorial(i) * (2 * i + 1)) * 0x1.20dd750429b6dp+0 - (i == 0 ? 1.0 : 0.0);
}

template <class T>
FASTNN_STEP T error_function(T x) {
  const T size = magnitude(x);
  const T large = 1 - 2 * normal_tail(size * T(0x1.6a09e667f3bcdp+0)).tail;
  const T small = multiply_add(x, series<erf_term, 0, Special<T>::kErfTerms>(x * x), x);
  return size < 1 ? small : with_sign_of(large, x);
}

}  // namespace fastnn
