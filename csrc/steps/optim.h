// The step of each optimizer for one parameter element. Names follow the papers. The caller computes everything that
// does not depend on the element (bias corrections, 1 - beta, 1 - lr * weight_decay) in double, and passes it as
// constants (calls/optim_rules.h).
#pragma once

#include "steps/portable.h"

namespace fastnn {

// The constants that every rule has. gradient_scale is the clipping factor, negative to maximise; weight_decay is that
// of L2 regularisation; keep = 1 - lr * weight_decay is that of decoupled decay.
template <class T>
struct Decay {
  T gradient_scale, weight_decay, keep;
};

// A zero weight_decay must not read theta: 0 * inf would be NaN.
template <class T>
FASTNN_STEP T effective_gradient(const Decay<T>& d, T g, T theta) {
  return d.weight_decay == 0 ? d.gradient_scale * g : d.gradient_scale * g + d.weight_decay * theta;
}

// Returns the larger of a and b, or NaN if either is NaN.
template <class T>
FASTNN_STEP T larger(T a, T b) {
  return a > b || a != a ? a : b;
}

// I. Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML 2013, in the form that
// keeps the learning rate out of the velocity b; gain = 1 - dampening, but 1 in a parameter's first step.
template <class T>
struct SgdConstants {
  Decay<T> decay;
  T lr, momentum, gain;
  bool has_velocity, nesterov;
};

template <class T>
FASTNN_STEP void sgd_step(const SgdConstants<T>& c, T& theta, T g) {
  theta -= c.lr * effective_gradient(c.decay, g, theta);
}

template <bool nesterov, class T>
FASTNN_STEP void momentum_step(const SgdConstants<T>& c, T& theta, T g, T& b) {
  g = effective_gradient(c.decay, g, theta);
  b = c.momentum * b + c.gain * g;
  theta -= c.lr * (nesterov ? g + c.momentum * b : b);
}

// J. Duchi, E. Hazan, Y. Singer, "Adaptive subgradient methods", JMLR 12 (2011), figure 1, diagonal;
// step_size = lr / (1 + (t - 1) lr_decay).
template <class T>
struct AdagradConstants {
  Decay<T> decay;
  T step_size, eps;
};

template <class T>
FASTNN_STEP void adagrad_step(const AdagradConstants<T>& c, T& theta, T g, T& sum) {
  g = effective_gradient(c.decay, g, theta);
  sum += g * g;
  theta -= c.step_size * (g / (square_root(sum) + c.eps));
}

// M. D. Zeiler, "ADADELTA: an adaptive learning rate method", 2012, algorithm 1, with a learning rate.
template <class T>
struct AdadeltaConstants {
  Decay<T> decay;
  T lr, rho, one_minus_rho, eps;
};

template <class T>
FASTNN_STEP void adadelta_step(const AdadeltaConstants<T>& c, T& theta, T g, T& square_avg, T& acc_delta) {
  g = effective_gradient(c.decay, g, theta);
  square_avg = c.rho * square_avg + c.one_minus_rho * g * g;
  const T delta = square_root(acc_delta + c.eps) / square_root(square_avg + c.eps) * g;
  acc_delta = c.rho * acc_delta + c.one_minus_rho * delta * delta;
  theta -= c.lr * delta;
}

// T. Tieleman, G. Hinton, "Lecture 6.5, RMSProp", 2012. The centered form subtracts the mean gradient: A. Graves,
// "Generating sequences with recurrent neural networks", 2013, equations 38 to 45.
template <class T>
struct RmspropConstants {
  Decay<T> decay;
  T lr, alpha, one_minus_alpha, eps, momentum;
  bool has_momentum, centered;
};

// Rounding may leave a variance slightly below zero, whose root would be NaN.
template <class T>
FASTNN_STEP T centered_root(T square_avg, T grad_avg) {
  const T variance = square_avg - grad_avg * grad_avg;
  return square_root(variance < 0 ? T(0) : variance);
}

template <bool has_momentum, class T>
FASTNN_STEP void rmsprop_step(const RmspropConstants<T>& c, T& theta, T g, T& square_avg, T& other) {
  g = effective_gradient(c.decay, g, theta);
  square_avg = c.alpha * square_avg + c.one_minus_alpha * g * g;
  if constexpr (has_momentum) {
    other = c.momentum * other + g / (square_root(square_avg) + c.eps);
    theta -= c.lr * other;
  } else {
    other = c.alpha * other + c.one_minus_alpha * g;
    theta -= c.lr * (g / (centered_root(square_avg, other) + c.eps));
  }
}

template <class T>
FASTNN_STEP void rmsprop_step(const RmspropConstants<T>& c, T& theta, T g, T& square_avg) {
  g = effective_gradient(c.decay, g, theta);
  square_avg = c.alpha * square_avg + c.one_minus_alpha * g * g;
  theta -= c.lr * (g / (square_root(square_avg) + c.eps));
}

template <class T>
FASTNN_STEP void rmsprop_step(const RmspropConstants<T>& c, T& theta, T g, T& square_avg, T& b, T& grad_avg) {
  g = effective_gradient(c.decay, g, theta);
  square_avg = c.alpha * square_avg + c.one_minus_alpha * g * g;
  grad_avg = c.alpha * grad_avg + c.one_minus_alpha * g;
  b = c.momentum * b + g / (centered_root(square_avg, grad_avg) + c.eps);
  theta -= c.lr * b;
}

}  // namespace fastnn
