// Activations and dropout.
#pragma once

#include "capi/common.h"
#include "kernels/args/activation.h"
#include "kernels/args/dropout.h"

namespace fastnn {
namespace {

template <class T>
int activation(T* y, const T* x, Index size, fastnn_activation kind, double option, double threshold) noexcept {
  if (!is_known(kind)) return kInvalid;
  kernels_for<T>().activation({.y = y, .x = x, .dy = nullptr, .size = size, .kind = kind_of(kind),
                               .options = options_of<T>(option, threshold)});
  return kDone;
}

template <class T>
int activation_backward(T* dx, const T* dy, const T* at, Index size, fastnn_activation kind, double option,
                        double threshold) noexcept {
  if (!is_known(kind)) return kInvalid;
  kernels_for<T>().activation_backward(
      {.y = dx, .x = at, .dy = dy, .size = size, .kind = kind_of(kind), .options = options_of<T>(option, threshold)});
  return kDone;
}

template <class T>
BiasActivationArgs<T> bias_args(T* y, const T* x, const T* bias, Index rows, Index columns, fastnn_activation kind,
                                double option, double threshold, double p, const fastnn_random& random) noexcept {
  return {.y = y, .x = x, .bias = bias, .rows = rows, .columns = columns, .kind = kind_of(kind),
          .options = options_of<T>(option, threshold), .masked = p > 0, .random = place(random),
          .threshold = drop_threshold(p), .scale = T(keep_scale(p)), .dy = nullptr, .dbias = nullptr,
          .partial = nullptr};
}

template <class T>
int bias_activation(T* y, const T* x, const T* bias, Index rows, Index columns, fastnn_activation kind, double option,
                    double threshold, double p, fastnn_random random) noexcept {
  if (!is_known(kind)) return kInvalid;
  kernels_for<T>().bias_activation(bias_args(y, x, bias, rows, columns, kind, option, threshold, p, random));
  return kDone;
}

template <class T>
int bias_activation_backward(T* dx, T* dbias, const T* dy, const T* x, const T* bias, Index rows, Index columns,
                             fastnn_activation kind, double option, double threshold, double p,
                             fastnn_random random) noexcept {
  if (!is_known(kind)) return kInvalid;
  return with_scratch<T>(dbias ? bias_blocks(rows) * columns : 0, [&](T* partial) {
    BiasActivationArgs<T> args = bias_args(dx, x, bias, rows, columns, kind, option, threshold, p, random);
    args.dy = dy, args.dbias = dbias, args.partial = dbias ? partial : nullptr;
    kernels_for<T>().bias_activation_backward(args);
  });
}

template <class T>
int dropout(T* y, const T* x, Index size, double p, fastnn_random random) noexcept {
  if (size)
    kernels_for<T>().dropout({.y = y, .x = x, .size = size, .inner = 1, .random = place(random),
                              .threshold = drop_threshold(p), .scale = T(keep_scale(p)), .shift = 0, .dropped = 0});
  return kDone;
}

template <class T>
int dropout2d(T* y, const T* x, Index channels, Index inner, double p, fastnn_random random) noexcept {
  const Index size = channels * inner;
  if (size)
    kernels_for<T>().dropout2d({.y = y, .x = x, .size = size, .inner = inner, .random = place(random),
                                .threshold = drop_threshold(p), .scale = T(keep_scale(p)), .shift = 0, .dropped = 0});
  return kDone;
}

template <class T>
int alpha_dropout(T* y, const T* x, Index size, double p, int backward, fastnn_random random) noexcept {
  const AlphaDropout a = alpha_dropout_of(p, backward != 0);
  kernels_for<T>().alpha_dropout({.y = y, .x = x, .size = size, .inner = 1, .random = place(random),
                                  .threshold = drop_threshold(p), .scale = T(a.scale), .shift = T(a.shift),
                                  .dropped = T(a.dropped)});
  return kDone;
}

}  // namespace
}  // namespace fastnn
