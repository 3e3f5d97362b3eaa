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
  kernels_for<T>().softmax({y, x, outer, n, inner});
  return kDone;
}

template <class T>
int softmax_backward(T* dx, const T* dy, const T* y, Index outer, Index n, Index inner) noexcept {
  kernels_for<T>().softmax_backward({dx, dy, y, outer, n, inner});
  return kDone;
}

template <class T>
int log_softmax(T* y, const T* x, Index outer, Index n, Index inner) noexcept {
  kernels_for<T>().log_softmax({y, x, outer, n, inner});
  return kDone;
}

template <class T>
int log_softmax_backward(T* dx, const T* dy, const T* y, Index outer, Index n, Index inner) noexcept {
  kernels_for<T>().log_softmax_backward({dx, dy, y, outer, n, inner});
  return kDone;
}

// Labels or target.
template <class T>
int soft(T* dlogits, double* row_loss, const T* logits, const Index* labels, const T* target, const T* weight, Index rows,
         Index classes, double smoothing, double scale) noexcept {
  return with_scratch<double>(rows, [&](double* row_mass) {
    kernels_for<T>().softmax_cross_entropy_soft(
        {dlogits, row_loss, row_mass, logits, labels, target, weight, rows, classes, scale, smoothing});
  });
}

template <class T>
int cross_entropy(T* dlogits, double* row_loss, const T* logits, const Index* labels, const T* weight, Index rows,
                  Index classes, double smoothing, double scale) noexcept {
  if (smoothing > 0) return soft<T>(dlogits, row_loss, logits, labels, nullptr, weight, rows, classes, smoothing, scale);
  kernels_for<T>().softmax_cross_entropy({dlogits, row_loss, nullptr, logits, labels, nullptr, weight, rows, classes, scale, 0});
  return kDone;
}

template <class T>
int cross_entropy_soft(T* dlogits, double* row_loss, const T* logits, const T* target, const T* weight, Index rows,
                       Index classes, double smoothing, double scale) noexcept {
  return soft<T>(dlogits, row_loss, logits, nullptr, target, weight, rows, classes, smoothing, scale);
}

template <class T>
int nll(T* dinput, double* row_loss, const T* input, const Index* labels, const T* weight, Index rows, Index classes,
        double scale) noexcept {
  kernels_for<T>().nll_loss({dinput, row_loss, nullptr, input, labels, nullptr, weight, rows, classes, scale, 0});
  return kDone;
}

// A loss by element; `kernel` picks it out of the table.
template <class T, class Kernel>
int by_element(LossArgs<T> args, double* loss, Kernel kernel) noexcept {
  const Index blocks = partial_sums_of(args.size);
  return with_scratch<double>(blocks, [&](double* partial) {
    args.partial = partial;
    kernel(kernels_for<T>())(args);
    *loss = args.scale * total_of(partial, blocks);
  });
}

template <class T>
LossArgs<T> loss_args(T* dinput, const T* input, const T* target, Index size, double scale) noexcept {
  return {dinput, nullptr, input, target, nullptr, nullptr, size, 1, 1, scale, 0, false};
}

template <class T>
int mse(T* dinput, double* loss, const T* input, const T* target, Index size, double scale) noexcept {
  return by_element(loss_args(dinput, input, target, size, scale), loss, [](const auto& k) { return k.mse_loss; });
}

template <class T>
int l1(T* dinput, double* loss, const T* input, const T* target, Index size, double scale) noexcept {
  return by_element(loss_args(dinput, input, target, size, scale), loss, [](const auto& k) { return k.l1_loss; });
}

template <class T>
int huber(T* dinput, double* loss, const T* input, const T* target, Index size, double delta, double scale) noexcept {
  LossArgs<T> args = loss_args(dinput, input, target, size, scale);
  args.delta = delta;
  return by_element(args, loss, [](const auto& k) { return k.huber_loss; });
}

template <class T>
int binary_cross_entropy(T* dinput, double* loss, const T* input, const T* target, const T* weight, const T* pos_weight,
                         Index size, double scale) noexcept {
  LossArgs<T> args = loss_args(dinput, input, target, size, scale);
  args.weight = weight, args.pos_weight = pos_weight;
  args.weight_period = args.pos_weight_period = size > 0 ? size : 1;
  return by_element(args, loss, [](const auto& k) { return k.binary_cross_entropy_with_logits; });
}

template <class T>
int kl_div(T* dinput, double* loss, const T* input, const T* target, Index size, int log_target, double scale) noexcept {
  LossArgs<T> args = loss_args(dinput, input, target, size, scale);
  args.log_target = log_target != 0;
  return by_element(args, loss, [](const auto& k) { return k.kl_div; });
}

}  // namespace
}  // namespace fastnn
