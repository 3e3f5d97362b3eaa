// Builds the argument structs of random fills; constants are computed once, in double.
#pragma once

#include <cmath>

#include "kernels/args/random.h"

namespace fastnn {

// Numbers in [a, b), or a if the interval is empty.
template <class T>
FillArgs<T> uniform_args(T* y, Index size, Index skip, const Philox& random, T a, T b) {
  return {.y = y, .size = size, .skip = skip, .random = random, .shift = a, .scale = b - a,
          .largest = a < b ? std::nextafter(b, a) : a};
}

// The probability of less than x, that of more than x, and the first minus 1/2.
struct Probabilities {
  double below, above, centre;
};

inline Probabilities probabilities(double x) {
  const double tail = normal_tail(std::fabs(x)).tail, centre = 0.5 * error_function(x * 0x1.6a09e667f3bcdp-1);
  return x < 0 ? Probabilities{tail, 1 - tail, centre} : Probabilities{1 - tail, tail, centre};
}

// An interval at least this far from the middle is handled as a tail, from its nearer end.
constexpr double kTail = 3;

template <class T>
void set_middle(TruncNormalArgs<T>& args, double alpha, double beta) {
  const Probabilities p = probabilities(alpha), q = probabilities(beta);
  const double width = beta < 0 ? q.below - p.below : alpha > 0 ? p.above - q.above : q.centre - p.centre;
  args.centre = T(p.centre);
  args.below = T(p.below);
  args.above = T(q.above);
  args.far = alpha < -kQuantileMiddle || beta > kQuantileMiddle;
  args.width = T(width * (sizeof(T) == 4 ? 0x1p-31 : 0x1p-53));
}

// `near` and `far` are the ends of the interval as positive z, both >= kTail.
template <class T>
void set_tail(TruncNormalArgs<T>& args, double near, double far) {
  args.in_tail = true;
  args.tail = {near, tail_over_bell(near)};
  const double ratio = std::isinf(far) ? 1 : tail_over_bell(far) / args.tail.over_bell;
  const double exponent = std::isinf(far) ? -1e9 : -0.5 * (far - near) * (far + near) + logarithm(ratio);
  args.share = -exponential_minus_one(exponent);
}

// [a, b] in standard deviations from the mean. With std 0 every number is the mean, if it lies in [a, b].
struct Interval {
  double alpha, beta;
};

inline Interval interval(double mean, double std, double a, double b) {
  if (std == 0 && a <= mean && mean <= b) return {-INFINITY, INFINITY};
  return {(a - mean) / std, (b - mean) / std};
}

// Returns whether a number from a normal distribution can lie in [a, b].
inline bool reaches(double mean, double std, double a, double b) {
  const Interval i = interval(mean, std, a, b);
  return i.alpha < INFINITY && i.beta > -INFINITY;
}

template <class T>
TruncNormalArgs<T> trunc_normal_args(T* y, Index size, Index skip, const Philox& random, double mean, double std,
                                             double a, double b) {
  TruncNormalArgs<T> args{};
  args.y = y, args.size = size, args.skip = skip, args.random = random;
  args.mean = T(mean), args.std = T(std), args.low = T(a), args.high = T(b);
  const auto [alpha, beta] = interval(mean, std, a, b);
  if (alpha >= kTail) {
    set_tail(args, alpha, beta);
    args.end = a, args.step = std;
  } else if (beta <= -kTail) {
    set_tail(args, -beta, -alpha);
    args.end = b, args.step = -std;
  } else {
    set_middle(args, alpha, beta);
  }
  return args;
}

}  // namespace fastnn
