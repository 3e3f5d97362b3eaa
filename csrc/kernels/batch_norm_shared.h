// Code that both layouts of batch norm share: the end of a channel's statistics and gradients, and the operations fused
// after the norm.
#pragma once

#include "kernels/affine.h"
#include "kernels/args/batch_norm.h"
#include "kernels/lanes.h"
#include "kernels/parallel.h"
#include "steps/activation.h"
#include "steps/norm.h"

namespace fastnn {
namespace {

// Stores mean and rstd of channel c for backward: in training those of the batch, whose running averages it updates; in
// evaluation the running ones.
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

// The operations on an element that are fused after the norm.
template <bool has_residual, bool has_relu>
struct After {
  template <class T>
  static T forward(T y, const T* residual, Index i) {
    if constexpr (has_residual) y += residual[i];
    return has_relu ? Relu::value(ActivationOptions<T>(), y) : y;
  }
  // Returns the gradient with respect to the input of relu.
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

// Calls f(After<...>()) for these options.
template <class F>
inline void with_after(bool residual, bool relu, F f) noexcept {
  if (residual) return relu ? f(After<true, true>()) : f(After<true, false>());
  relu ? f(After<false, true>()) : f(After<false, false>());
}

// The factors of a channel in dx = scale (g - mean_g - normalised * mean_gx), from the sums of g and of g * normalised.
template <class T>
struct GradientMeans {
  T mean_g, mean_gx, scale;
};

template <class T>
inline GradientMeans<T> gradient_means(const BatchNormBackwardArgs<T>& a, Index c, double sum_g, double sum_gx) {
  const T scale = T(a.rstd[c]) * weight_at(a.weight, c);
  if (!a.training) return {0, 0, scale};  // 0 times a sum would be NaN for a sum that is
  const double share = 1 / (double(a.outer) * double(a.inner));
  return {T(sum_g * share), T(sum_gx * share), scale};
}

}  // namespace
}  // namespace fastnn
