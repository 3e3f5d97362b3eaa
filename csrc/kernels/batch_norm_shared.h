// What the two layouts of a batch norm share: how statistics and gradients of a channel are closed, and what follows the
// norm of an element in the same pass.
#pragma once

#include "kernels/affine.h"
#include "kernels/args/batch_norm.h"
#include "kernels/lanes.h"
#include "kernels/parallel.h"
#include "steps/activation.h"
#include "steps/norm.h"

namespace fastnn {
namespace {

// Mean and variance of a channel have been found, or are the running ones: keep them for backward, update the running ones.
template <class T>
inline void close_statistics(const BatchNormArgs<T>& a, Index c, double mean, double squares) {
  if (!a.training) {
    a.mean[c] = double(a.running_mean[c]);
    a.rstd[c] = reciprocal_deviation(double(a.running_var[c]), a.eps);
    return;
  }
  const double count = double(a.outer) * double(a.inner);
  a.mean[c] = mean;
  a.rstd[c] = reciprocal_deviation(squares / count, a.eps);
  if (!a.running_mean) return;
  a.running_mean[c] = running_average(a.running_mean[c], mean, a.momentum);
  a.running_var[c] = running_average(a.running_var[c], squares / (a.unbiased ? count - 1 : count), a.momentum);
}

// What follows the norm of an element in the same pass.
template <bool has_residual, bool has_relu>
struct After {
  template <class T>
  static T forward(T y, const T* residual, Index i) {
    if constexpr (has_residual) y += residual[i];
    return has_relu ? Relu::value(ActivationOptions<T>(), y) : y;
  }
  // The gradient by what went into relu.
  template <class T>
  static T backward(const T* dy, const T* y, Index i) {
    if constexpr (has_relu) return Relu::backward(ActivationOptions<T>(), dy[i], y[i]);
    return dy[i];
  }
  template <class T>
  static void keep(T* dresidual, Index i, T g) {
    if constexpr (has_residual) dresidual[i] = g;
  }
};

// f(After<...>()) for these.
template <class F>
inline void with_after(bool residual, bool relu, F f) noexcept {
  if (residual) return relu ? f(After<true, true>()) : f(After<true, false>());
  relu ? f(After<false, true>()) : f(After<false, false>());
}

// The factors of a channel's dx = scale (g - mean_g - normalised * mean_gx), of the sums of g and of g * normalised.
template <class T>
struct GradientMeans {
  T mean_g, mean_gx, scale;
};

template <class T>
inline GradientMeans<T> gradient_means(const BatchNormBackwardArgs<T>& a, Index c, double sum_g, double sum_gx) {
  const double share = a.training ? 1 / (double(a.outer) * double(a.inner)) : 0;
  return {T(sum_g * share), T(sum_gx * share), T(a.rstd[c]) * weight_at(a.weight, c)};
}

}  // namespace
}  // namespace fastnn
