// Normalisation of one element, and its gradient. Statistics are double. The mean is used as a sum of two numbers of
// the element's type, so that a mean of 1e4 standard deviations costs no digits.
#pragma once

#include "steps/portable.h"

namespace fastnn {

template <class T>
struct Moments {
  T mean_high, mean_low, rstd;
};

template <class T>
FASTNN_STEP Moments<T> moments(double mean, double rstd) {
  const T high = T(mean);
  return {high, T(mean - double(high)), T(rstd)};
}

FASTNN_STEP double reciprocal_deviation(double variance, double eps) { return 1.0 / square_root(variance + eps); }

// (x - mean) / sqrt(var + eps)
template <class T>
FASTNN_STEP T normalise(T x, const Moments<T>& m) {
  return ((x - m.mean_high) - m.mean_low) * m.rstd;
}

// Merges the mean and the sum of squared deviations of n elements with those of `more` others. Source: T. Chan, G.
// Golub, R. LeVeque, "Algorithms for computing the sample variance", Am. Stat. 37 (1983), section 3.
FASTNN_STEP void merge_moments(double n, double& mean, double& squares, double more, double mean_more, double squares_more) {
  const double delta = mean_more - mean, share = more / (n + more);
  mean += delta * share;
  squares += squares_more + delta * delta * n * share;
}

// The gradient with respect to x of y = weight * normalise(x), where mean and rstd depend on x: g = dy * weight; mean_g
// and mean_gx are the means of g and of g * normalised over the elements that share the statistics.
template <class T>
FASTNN_STEP T normalise_gradient(T g, T normalised, T mean_g, T mean_gx, T rstd) {
  return rstd * (g - mean_g - normalised * mean_gx);
}

// PyTorch's convention: momentum is the share of the new value.
template <class T>
FASTNN_STEP T running_average(T running, double fresh, double momentum) {
  return T((1.0 - momentum) * double(running) + momentum * fresh);
}

}  // namespace fastnn
