// Losses of one element and their gradients. Losses are double, since the square of a float may overflow a float.
#pragma once

#include "steps/special.h"

namespace fastnn {

// d = input - target.
template <class T>
struct Squared {
  FASTNN_STEP double loss(T d) { return double(d) * double(d); }
  FASTNN_STEP T gradient(T d) { return 2 * d; }
};

// The gradient at 0 is 0, and NaN stays NaN.
template <class T>
struct Absolute {
  FASTNN_STEP double loss(T d) { return double(magnitude(d)); }
  FASTNN_STEP T gradient(T d) { return d > 0 ? T(1) : (d < 0 ? T(-1) : d); }
};

// P. Huber, "Robust estimation of a location parameter", Ann. Math. Stat. 35 (1964), section 4.
template <class T>
struct Huber {
  FASTNN_STEP double loss(T d, double delta) {
    const double a = double(magnitude(d));
    return a < delta ? 0.5 * a * a : delta * (a - 0.5 * delta);
  }
  FASTNN_STEP T gradient(T d, T limit) {
    return d > limit ? limit : (d < -limit ? -limit : d);
  }
};

// R. Girshick, "Fast R-CNN", ICCV 2015, equation 3, with PyTorch's beta: quadratic where |d| < beta, |d| - beta / 2 from
// there on. beta is not 0.
template <class T>
struct SmoothAbsolute {
  FASTNN_STEP double loss(T d, double beta) {
    const double a = double(magnitude(d));
    return a < beta ? 0.5 * a * a / beta : a - 0.5 * beta;
  }
  FASTNN_STEP T gradient(T d, T beta) { return d >= beta ? T(1) : (d <= -beta ? T(-1) : d / beta); }
};

// D. Nix, A. Weigend, "Estimating the mean and variance of the target probability distribution", ICNN 1994, equation
// 5: (ln v + d^2 / v) / 2, and with ln(2 pi) / 2 the whole negative logarithm of the density.
template <class T>
struct GaussianLikelihood {
  static constexpr double kHalfLogTwoPi = 0.91893853320467274178;
  FASTNN_STEP double loss(T d, T v) {
    return 0.5 * (double(logarithm(v)) + double(d) * (double(d) * (1 / double(v))));
  }
  FASTNN_STEP T gradient(T d, T v) { return d / v; }
  // In double, since the square may overflow a float, and the two terms cancel where d^2 is about v.
  FASTNN_STEP T variance_gradient(T d, T v) {
    const double inverse = 1 / double(v), ratio = double(d) * inverse;
    return T(0.5 * (inverse - ratio * ratio));
  }
};

// -(p t ln sigmoid(x) + (1 - t) ln(1 - sigmoid(x))), where p is the weight of the positive class. -ln sigmoid(x) is
// max(-x, 0) + ln(1 + e^-|x|), so no terms cancel while t is in [0, 1].
template <class T>
struct BinaryCrossEntropy {
  FASTNN_STEP T small(T x) { return exponential(-magnitude(x)); }
  FASTNN_STEP double loss(T x, T t, T p) {
    const T l = logarithm_plus_one(small(x));
    return double((1 - t) * ((x < 0 ? T(0) : x) + l) + p * t * ((x < 0 ? -x : T(0)) + l));
  }
  FASTNN_STEP T gradient(T x, T t, T p) {
    const T u = small(x);
    return ((1 - t) * (x < 0 ? u : T(1)) - p * t * (x < 0 ? T(1) : u)) / (1 + u);
  }
};

// S. Kullback, R. Leibler, "On information and sufficiency", Ann. Math. Stat. 22 (1951), equation 2.4: q (ln q - x),
// where x is the logarithm of the other probability. 0 ln 0 is 0: an element with q = 0 adds nothing, unless x is NaN.
template <class T>
FASTNN_STEP double divergence(T q, T log_q, T x) {
  const double nothing = x != x ? double(x) : 0.0;
  return q == 0 ? nothing : double(q) * (double(log_q) - double(x));
}

// The target probability of a class after smoothing: C. Szegedy et al., "Rethinking the Inception architecture", CVPR
// 2016, section 7; uniform = smoothing / classes.
template <class T>
FASTNN_STEP T smoothed(T q, T keep, T uniform) {
  return keep * q + uniform;
}

// A class with target 0 adds nothing, even if its logit is -infinity.
template <class T>
FASTNN_STEP T part_of(T target, T z) {
  return target * (target == 0 ? T(0) : z);
}

}  // namespace fastnn
