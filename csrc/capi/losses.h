// Softmax and losses.
#pragma once

#include "calls/partial_sums.h"
#include "capi/common.h"
#include "kernels/args/loss.h"
#include "kernels/args/softmax.h"

namespace fastnn {
namespace {

template <class T>
int softmax(T* y, const T* x, Index outer, Index n, Index inner) noexcept {
  kernels_for<T>().softmax({.y = y, .x = x, .outer = outer, .n = n, .inner = inner});
  return kDone;
}

template <class T>
int softmax_backward(T* dx, const T* dy, const T* y, Index outer, Index n, Index inner) noexcept {
  kernels_for<T>().softmax_backward({.dx = dx, .dy = dy, .y = y, .outer = outer, .n = n, .inner = inner});
  return kDone;
}

template <class T>
int log_softmax(T* y, const T* x, Index outer, Index n, Index inner) noexcept {
  kernels_for<T>().log_softmax({.y = y, .x = x, .outer = outer, .n = n, .inner = inner});
  return kDone;
}

template <class T>
int log_softmax_backward(T* dx, const T* dy, const T* y, Index outer, Index n, Index inner) noexcept {
  kernels_for<T>().log_softmax_backward({.dx = dx, .dy = dy, .y = y, .outer = outer, .n = n, .inner = inner});
  return kDone;
}

// Needs either labels or target.
template <class T>
int soft(T* dlogits, double* row_loss, const T* logits, const Index* labels, const T* target, const T* weight,
         Index rows, Index classes, double smoothing, double scale) noexcept {
  return with_scratch<double>(rows, [&](double* row_mass) {
    kernels_for<T>().softmax_cross_entropy_soft({.dlogits = dlogits, .row_loss = row_loss, .row_mass = row_mass,
                                                 .logits = logits, .labels = labels, .target = target, .weight = weight,
                                                 .rows = rows, .classes = classes, .scale = scale,
                                                 .smoothing = smoothing});
  });
}

template <class T>
int softmax_cross_entropy(T* dlogits, double* row_loss, const T* logits, const Index* labels, const T* weight,
                          Index rows, Index classes, double smoothing, double scale) noexcept {
  if (smoothing > 0)
    return soft<T>(dlogits, row_loss, logits, labels, nullptr, weight, rows, classes, smoothing, scale);
  kernels_for<T>().softmax_cross_entropy({.dlogits = dlogits, .row_loss = row_loss, .row_mass = nullptr,
                                          .logits = logits, .labels = labels, .target = nullptr, .weight = weight,
                                          .rows = rows, .classes = classes, .scale = scale, .smoothing = 0});
  return kDone;
}

template <class T>
int softmax_cross_entropy_soft(T* dlogits, double* row_loss, const T* logits, const T* target, const T* weight,
                               Index rows, Index classes, double smoothing, double scale) noexcept {
  return soft<T>(dlogits, row_loss, logits, nullptr, target, weight, rows, classes, smoothing, scale);
}

template <class T>
int nll_loss(T* dinput, double* row_loss, const T* input, const Index* labels, const T* weight, Index rows,
             Index classes, double scale) noexcept {
  kernels_for<T>().nll_loss({.dlogits = dinput, .row_loss = row_loss, .row_mass = nullptr, .logits = input,
                             .labels = labels, .target = nullptr, .weight = weight, .rows = rows, .classes = classes,
                             .scale = scale, .smoothing = 0});
  return kDone;
}

// Computes an elementwise loss; `kernel` takes the kernel from the table.
template <class Args, class Kernel>
int by_element(Args args, double* loss, Kernel kernel) noexcept {
  const Index blocks = partial_sums_of(args.size);
  return with_scratch<double>(blocks, [&](double* partial) {
    args.partial = partial;
    kernel(kernels_for<std::remove_pointer_t<decltype(args.dinput)>>())(args);
    *loss = args.scale * total_of(partial, blocks);
  });
}

template <class T>
LossArgs<T> loss_args(T* dinput, const T* input, const T* target, Index size, double scale) noexcept {
  return {.dinput = dinput, .losses = nullptr, .partial = nullptr, .input = input, .target = target, .weight = nullptr,
          .pos_weight = nullptr, .size = size, .weight_period = 1, .pos_weight_period = 1, .scale = scale, .delta = 0,
          .log_target = false};
}

template <class T>
int mse_loss(T* dinput, double* loss, const T* input, const T* target, Index size, double scale) noexcept {
  return by_element(loss_args(dinput, input, target, size, scale), loss, [](const auto& k) { return k.mse_loss; });
}

template <class T>
int l1_loss(T* dinput, double* loss, const T* input, const T* target, Index size, double scale) noexcept {
  return by_element(loss_args(dinput, input, target, size, scale), loss, [](const auto& k) { return k.l1_loss; });
}

template <class T>
int huber_loss(T* dinput, double* loss, const T* input, const T* target, Index size, double delta,
               double scale) noexcept {
  LossArgs<T> args = loss_args(dinput, input, target, size, scale);
  args.delta = delta;
  return by_element(args, loss, [](const auto& k) { return k.huber_loss; });
}

template <class T>
int smooth_l1_loss(T* dinput, double* loss, const T* input, const T* target, Index size, double beta,
                   double scale) noexcept {
  LossArgs<T> args = loss_args(dinput, input, target, size, scale);
  args.delta = beta;
  return by_element(args, loss, [](const auto& k) { return k.smooth_l1_loss; });
}

template <class T>
int gaussian_nll_loss(T* dinput, T* dvar, double* loss, const T* input, const T* target, const T* var, Index size,
                      double eps, int full, double scale) noexcept {
  const GaussianLossArgs<T> args{.dinput = dinput, .dvar = dvar, .losses = nullptr, .partial = nullptr, .input = input,
                                 .target = target, .var = var, .size = size, .scale = scale, .eps = eps,
                                 .full = full != 0};
  return by_element(args, loss, [](const auto& k) { return k.gaussian_nll_loss; });
}

template <class T>
int binary_cross_entropy_with_logits(T* dinput, double* loss, const T* input, const T* target, const T* weight,
                                     const T* pos_weight, Index size, double scale) noexcept {
  LossArgs<T> args = loss_args(dinput, input, target, size, scale);
  args.weight = weight, args.pos_weight = pos_weight;
  args.weight_period = args.pos_weight_period = size > 0 ? size : 1;
  return by_element(args, loss, [](const auto& k) { return k.binary_cross_entropy_with_logits; });
}

template <class T>
int kl_div(T* dinput, double* loss, const T* input, const T* target, Index size, int log_target,
           double scale) noexcept {
  LossArgs<T> args = loss_args(dinput, input, target, size, scale);
  args.log_target = log_target != 0;
  return by_element(args, loss, [](const auto& k) { return k.kl_div; });
}

}  // namespace
}  // namespace fastnn
