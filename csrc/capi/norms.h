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
  kernels_for<T>().layer_norm({y, mean, rstd, x, weight, bias, rows, columns, eps});
  return kDone;
}

template <class T>
int layer_norm_backward(T* dx, T* dweight, T* dbias, const T* dy, const T* x, const T* weight, const double* mean,
                        const double* rstd, Index rows, Index columns) noexcept {
  return with_scratch<T>(2 * columns * layer_norm_blocks(rows), [&](T* partial) {
    kernels_for<T>().layer_norm_backward({dx, dweight, dbias, partial, dy, x, weight, mean, rstd, rows, columns});
  });
}

template <class T>
int rms_norm(T* y, double* rrms, const T* x, const T* weight, Index rows, Index columns, double eps) noexcept {
  kernels_for<T>().layer_norm({y, nullptr, rrms, x, weight, nullptr, rows, columns, eps});
  return kDone;
}

// The kernel has a gradient by a bias, too.
template <class T>
int rms_norm_backward(T* dx, T* dweight, const T* dy, const T* x, const T* weight, const double* rrms, Index rows,
                      Index columns) noexcept {
  return with_scratch<T>(columns * (1 + 2 * layer_norm_blocks(rows)), [&](T* scratch) {
    kernels_for<T>().layer_norm_backward(
        {dx, dweight, scratch, scratch + columns, dy, x, weight, nullptr, rrms, rows, columns});
  });
}

template <class T>
int dropout_add_layer_norm(T* y, T* sum, double* mean, double* rstd, const T* x, const T* residual, const T* weight,
                           const T* bias, Index rows, Index columns, double eps, double p, fastnn_random random) noexcept {
  kernels_for<T>().dropout_add_layer_norm({{y, mean, rstd, sum, weight, bias, rows, columns, eps}, sum, x, residual, place(random),
                                  drop_threshold(p), T(keep_scale(p))});
  return kDone;
}

template <class T>
int dropout_add_layer_norm_backward(T* dx, T* dresidual, T* dweight, T* dbias, const T* dy, const T* dsum, const T* sum,
                                    const T* weight, const double* mean, const double* rstd, Index rows, Index columns,
                                    double p, fastnn_random random) noexcept {
  return with_scratch<T>(2 * columns * layer_norm_blocks(rows), [&](T* partial) {
    kernels_for<T>().dropout_add_layer_norm_backward(
        {{dresidual, dweight, dbias, partial, dy, sum, weight, mean, rstd, rows, columns}, dx, dsum, place(random),
         drop_threshold(p), T(keep_scale(p))});
  });
}

template <class T>
int batch_norm(T* y, double* mean, double* rstd, T* running_mean, T* running_var, const T* x, const T* weight, const T* bias,
               const T* residual, Index outer, Index channels, Index inner, double momentum, double eps, int training,
               int unbiased, int relu) noexcept {
  return with_scratch<double>(batch_norm_partial(outer, channels, inner), [&](double* partial) {
    kernels_for<T>().batch_norm({y, mean, rstd, running_mean, running_var, partial, x, weight, bias, residual, outer,
                                   channels, inner, momentum, eps, training != 0, unbiased != 0, relu != 0});
  });
}

template <class T>
int batch_norm_backward(T* dx, T* dresidual, T* dweight, T* dbias, const T* dy, const T* x, const T* y, const T* weight,
                        const double* mean, const double* rstd, Index outer, Index channels, Index inner,
                        int training) noexcept {
  return with_scratch<double>(batch_norm_partial(outer, channels, inner), [&](double* partial) {
    kernels_for<T>().batch_norm_backward({dx, dresidual, dweight, dbias, partial, dy, x, y, weight, mean, rstd, outer,
                                            channels, inner, training != 0});
  });
}

template <class T>
int group_norm(T* y, double* mean, double* rstd, const T* x, const T* weight, const T* bias, Index outer, Index channels,
               Index groups, Index inner, double eps) noexcept {
  kernels_for<T>().group_norm({y, mean, rstd, nullptr, nullptr, nullptr, x, weight, bias, outer, channels, groups, inner, 0, eps});
  return kDone;
}

template <class T>
int group_norm_backward(T* dx, T* dweight, T* dbias, const T* dy, const T* x, const T* weight, const double* mean,
                        const double* rstd, Index outer, Index channels, Index groups, Index inner) noexcept {
  return with_scratch<double>(2 * channels * group_norm_parts(outer, inner), [&](double* partial) {
    kernels_for<T>().group_norm_backward(
        {dx, dweight, dbias, partial, dy, x, weight, mean, rstd, outer, channels, groups, inner});
  });
}

template <class T>
int weight_norm(T* w, double* norm, const T* v, const T* g, Index outer, Index channels, Index inner) noexcept {
  kernels_for<T>().weight_norm({w, norm, v, g, outer, channels, inner});
  return kDone;
}

template <class T>
int weight_norm_backward(T* dv, T* dg, const T* dw, const T* v, const T* g, const double* norm, Index outer, Index channels,
                         Index inner) noexcept {
  kernels_for<T>().weight_norm_backward({dv, dg, dw, v, g, norm, outer, channels, inner});
  return kDone;
}

}  // namespace
}  // namespace fastnn
