// Norms.
#pragma once

#include <algorithm>

#include "capi/common.h"
#include "kernels/args/layer_norm.h"
#include "kernels/args/batch_norm.h"
#include "kernels/args/group_norm.h"
#include "kernels/args/weight_norm.h"

namespace fastnn {
namespace {

template <class T>
int layer_norm(T* y, double* mean, double* rstd, const T* x, const T* weight, const T* bias, Index rows, Index columns,
               double eps) noexcept {
  kernels_for<T>().layer_norm({.y = y, .mean = mean, .rstd = rstd, .x = x, .weight = weight, .bias = bias,
                               .rows = rows, .columns = columns, .eps = eps});
  return kDone;
}

template <class T>
int layer_norm_backward(T* dx, T* dweight, T* dbias, const T* dy, const T* x, const T* weight, const double* mean,
                        const double* rstd, Index rows, Index columns) noexcept {
  return with_scratch<T>(2 * columns * layer_norm_blocks(rows), [&](T* partial) {
    kernels_for<T>().layer_norm_backward({.dx = dx, .dweight = dweight, .dbias = dbias, .partial = partial, .dy = dy,
                                          .x = x, .weight = weight, .mean = mean, .rstd = rstd, .rows = rows,
                                          .columns = columns});
  });
}

template <class T>
int rms_norm(T* y, double* rrms, const T* x, const T* weight, Index rows, Index columns, double eps) noexcept {
  kernels_for<T>().layer_norm({.y = y, .mean = nullptr, .rstd = rrms, .x = x, .weight = weight, .bias = nullptr,
                               .rows = rows, .columns = columns, .eps = eps});
  return kDone;
}

// The kernel also computes a gradient with respect to a bias, which goes to scratch memory.
template <class T>
int rms_norm_backward(T* dx, T* dweight, const T* dy, const T* x, const T* weight, const double* rrms, Index rows,
                      Index columns) noexcept {
  return with_scratch<T>(columns * (1 + 2 * layer_norm_blocks(rows)), [&](T* scratch) {
    kernels_for<T>().layer_norm_backward({.dx = dx, .dweight = dweight, .dbias = scratch,
                                          .partial = scratch + columns, .dy = dy, .x = x, .weight = weight,
                                          .mean = nullptr, .rstd = rrms, .rows = rows, .columns = columns});
  });
}

template <class T>
int dropout_add_layer_norm(T* y, T* sum, double* mean, double* rstd, const T* x, const T* residual, const T* weight,
                           const T* bias, Index rows, Index columns, double eps, double p,
                           fastnn_random random) noexcept {
  kernels_for<T>().dropout_add_layer_norm(
      {.norm = {.y = y, .mean = mean, .rstd = rstd, .x = sum, .weight = weight, .bias = bias, .rows = rows,
                .columns = columns, .eps = eps},
       .sum = sum, .x = x, .residual = residual, .random = place(random), .threshold = drop_threshold(p),
       .scale = T(keep_scale(p))});
  return kDone;
}

template <class T>
int dropout_add_layer_norm_backward(T* dx, T* dresidual, T* dweight, T* dbias, const T* dy, const T* dsum, const T* sum,
                                    const T* weight, const double* mean, const double* rstd, Index rows, Index columns,
                                    double p, fastnn_random random) noexcept {
  return with_scratch<T>(2 * columns * layer_norm_blocks(rows), [&](T* partial) {
    kernels_for<T>().dropout_add_layer_norm_backward(
        {.norm = {.dx = dresidual, .dweight = dweight, .dbias = dbias, .partial = partial, .dy = dy, .x = sum,
                  .weight = weight, .mean = mean, .rstd = rstd, .rows = rows, .columns = columns},
         .dx = dx, .dsum = dsum, .random = place(random), .threshold = drop_threshold(p), .scale = T(keep_scale(p))});
  });
}

template <class T>
int batch_norm(T* y, double* mean, double* rstd, T* running_mean, T* running_var, const T* x, const T* weight,
               const T* bias, const T* residual, Index outer, Index channels, Index inner, double momentum, double eps,
               int training, int unbiased, int relu) noexcept {
  return with_scratch<double>(batch_norm_partial(outer, channels, inner), [&](double* partial) {
    kernels_for<T>().batch_norm({.y = y, .mean = mean, .rstd = rstd, .running_mean = running_mean,
                                 .running_var = running_var, .partial = partial, .x = x, .weight = weight, .bias = bias,
                                 .residual = residual, .outer = outer, .channels = channels, .inner = inner,
                                 .momentum = momentum, .eps = eps, .training = training != 0, .unbiased = unbiased != 0,
                                 .relu = relu != 0});
  });
}

template <class T>
int batch_norm_backward(T* dx, T* dresidual, T* dweight, T* dbias, const T* dy, const T* x, const T* y, const T* weight,
                        const double* mean, const double* rstd, Index outer, Index channels, Index inner,
                        int training) noexcept {
  return with_scratch<double>(batch_norm_partial(outer, channels, inner), [&](double* partial) {
    kernels_for<T>().batch_norm_backward({.dx = dx, .dresidual = dresidual, .dweight = dweight, .dbias = dbias,
                                          .partial = partial, .dy = dy, .x = x, .y = y, .weight = weight, .mean = mean,
                                          .rstd = rstd, .outer = outer, .channels = channels, .inner = inner,
                                          .training = training != 0});
  });
}

template <class T>
int group_norm(T* y, double* mean, double* rstd, const T* x, const T* weight, const T* bias, Index outer,
               Index channels, Index groups, Index inner, double eps) noexcept {
  kernels_for<T>().group_norm({.y = y, .mean = mean, .rstd = rstd, .variance = nullptr, .running_mean = nullptr,
                               .running_var = nullptr, .x = x, .weight = weight, .bias = bias, .outer = outer,
                               .channels = channels, .groups = groups, .inner = inner, .momentum = 0, .eps = eps});
  return kDone;
}

template <class T>
int group_norm_backward(T* dx, T* dweight, T* dbias, const T* dy, const T* x, const T* weight, const double* mean,
                        const double* rstd, Index outer, Index channels, Index groups, Index inner) noexcept {
  return with_scratch<double>(2 * channels * group_norm_parts(outer, inner), [&](double* partial) {
    kernels_for<T>().group_norm_backward({.dx = dx, .dweight = dweight, .dbias = dbias, .partial = partial, .dy = dy,
                                          .x = x, .weight = weight, .mean = mean, .rstd = rstd, .outer = outer,
                                          .channels = channels, .groups = groups, .inner = inner});
  });
}

template <class T>
int weight_norm(T* w, double* norm, const T* v, const T* g, Index outer, Index channels, Index inner) noexcept {
  kernels_for<T>().weight_norm(
      {.w = w, .norm = norm, .v = v, .g = g, .outer = outer, .channels = channels, .inner = inner});
  return kDone;
}

template <class T>
int weight_norm_backward(T* dv, T* dg, const T* dw, const T* v, const T* g, const double* norm, Index outer,
                         Index channels, Index inner) noexcept {
  kernels_for<T>().weight_norm_backward({.dv = dv, .dg = dg, .dw = dw, .v = v, .g = g, .norm = norm, .outer = outer,
                                         .channels = channels, .inner = inner});
  return kDone;
}

}  // namespace
}  // namespace fastnn
