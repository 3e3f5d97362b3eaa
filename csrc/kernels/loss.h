// Elementwise losses and their gradients, for any shape, in one pass; dinput may be input. Each block of kBlockElements
// gives one partial sum of the loss, which the caller adds, or each element its loss.
#pragma once

#include <type_traits>

#include "kernels/args/loss.h"
#include "kernels/lanes.h"
#include "kernels/parallel.h"
#include "steps/loss.h"

namespace fastnn {
namespace {

// rule(i, place in the block, gradient) returns the loss of element i, and sets its gradient before `scale`.
template <class Args, class Rule>
inline void loss_blocks(const Args& a, Rule rule) noexcept {
  auto *dinput = a.dinput, *losses = a.losses;
  using T = std::remove_pointer_t<decltype(dinput)>;
  double* partial = a.partial;
  const T scale = T(a.scale);
  if (losses) {
    return for_each_range(a.size, 1, [=](Index begin, Index end) {
#pragma omp simd
      for (Index i = begin; i < end; ++i) {
        T gradient;
        losses[i] = T(rule(i, i - begin, gradient));
        dinput[i] = gradient * scale;
      }
    });
  }
  for_each_range(a.size, 1, [=](Index begin, Index end) {
    partial[begin / kBlockElements] = sum(end - begin, [=](Index place) {
      T gradient;
      const double loss = rule(begin + place, place, gradient);
      dinput[begin + place] = gradient * scale;
      return loss;
    });
  });
}

// A loss of input - target.
template <class Step, class T>
inline void difference_loss(const LossArgs<T>& a) noexcept {
  const T *input = a.input, *target = a.target;
  loss_blocks(a, [=](Index i, Index, T& gradient) {
    const T d = input[i] - target[i];
    gradient = Step::gradient(d);
    return Step::loss(d);
  });
}

template <class T>
void mse_loss_kernel(const LossArgs<T>& a) noexcept {
  difference_loss<Squared<T>>(a);
}

template <class T>
void l1_loss_kernel(const LossArgs<T>& a) noexcept {
  difference_loss<Absolute<T>>(a);
}

template <class T>
void huber_loss_kernel(const LossArgs<T>& a) noexcept {
  const T *input = a.input, *target = a.target, limit = T(a.delta);
  const double delta = a.delta;
  loss_blocks(a, [=](Index i, Index, T& gradient) {
    const T d = input[i] - target[i];
    gradient = Huber<T>::gradient(d, limit);
    return Huber<T>::loss(d, delta);
  });
}

template <class T>
void smooth_l1_loss_kernel(const LossArgs<T>& a) noexcept {
  const T *input = a.input, *target = a.target, limit = T(a.delta);
  const double beta = a.delta;
  if (limit == 0) return difference_loss<Absolute<T>>(a);
  loss_blocks(a, [=](Index i, Index, T& gradient) {
    const T d = input[i] - target[i];
    gradient = SmoothAbsolute<T>::gradient(d, limit);
    return SmoothAbsolute<T>::loss(d, beta);
  });
}

template <class T>
void gaussian_nll_loss_kernel(const GaussianLossArgs<T>& a) noexcept {
  using Step = GaussianLikelihood<T>;
  const T *input = a.input, *target = a.target, *var = a.var, least = T(a.eps), scale = T(a.scale);
  T* dvar = a.dvar;
  const double constant = a.full ? Step::kHalfLogTwoPi : 0.0;
  loss_blocks(a, [=](Index i, Index, T& gradient) {
    const T d = input[i] - target[i], v = var[i] < least ? least : var[i];
    gradient = Step::gradient(d, v);
    dvar[i] = Step::variance_gradient(d, v) * scale;
    return Step::loss(d, v) + constant;
  });
}

// The rules are inlined by force: Clang finds them too long for that, and then vectorises none of their loops.
template <class T>
void binary_cross_entropy_with_logits_kernel(const LossArgs<T>& a) noexcept {
  using Step = BinaryCrossEntropy<T>;
  const T *input = a.input, *target = a.target, *weight = a.weight, *positive = a.pos_weight;
  if (!weight) {
    return loss_blocks(a, [=](Index i, Index, T& gradient) __attribute__((always_inline)) {
      gradient = Step::gradient(input[i], target[i], T(1));
      return Step::loss(input[i], target[i], T(1));
    });
  }
  const Index period = a.weight_period, positive_period = a.pos_weight_period;
  loss_blocks(a, [=](Index i, Index place, T& gradient) __attribute__((always_inline)) {
    const Index begin = i - place;
    const T w = weight[begin % period + place], p = positive[begin % positive_period + place];
    gradient = w * Step::gradient(input[i], target[i], p);
    return double(w) * Step::loss(input[i], target[i], p);
  });
}

template <class T>
void kl_div_kernel(const LossArgs<T>& a) noexcept {
  const T *input = a.input, *target = a.target;
  if (a.log_target) {
    return loss_blocks(a, [=](Index i, Index, T& gradient) {
      const T q = exponential(target[i]);
      gradient = -q;
      return divergence(q, target[i], input[i]);
    });
  }
  loss_blocks(a, [=](Index i, Index, T& gradient) {
    gradient = -target[i];
    return divergence(target[i], logarithm(target[i]), input[i]);
  });
}

}  // namespace
}  // namespace fastnn
