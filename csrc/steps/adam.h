// Rules that keep a momentum m and scale it by an estimate of the gradient's size. Names follow the papers.
#pragma once

#include "steps/optim.h"

namespace fastnn {

// Rates of the decaying averages of the gradient and of its square. Not every rule has the second average.
template <class T>
struct Averages {
  T beta1, beta2, one_minus_beta1, one_minus_beta2;
};

template <class T>
FASTNN_STEP void average(const Averages<T>& a, T g, T& m, T& v) {
  m = a.beta1 * m + a.one_minus_beta1 * g;
  v = a.beta2 * v + a.one_minus_beta2 * g * g;
}

// D. P. Kingma, J. Ba, "Adam", ICLR 2015, algorithm 1: step_size = lr / (1 - beta1^t),
// inverse_root = 1 / sqrt(1 - beta2^t). With keep < 1 it is AdamW: I. Loshchilov, F. Hutter, "Decoupled weight decay
// regularization", ICLR 2019, algorithm 2. With v_max it is AMSGrad: S. Reddi et al., "On the convergence of Adam and
// beyond", ICLR 2018, algorithm 2.
template <class T>
struct AdamConstants {
  Decay<T> decay;
  Averages<T> averages;
  T step_size, inverse_root, eps;
  bool amsgrad;
};

template <class T>
FASTNN_STEP void adam_step(const AdamConstants<T>& c, T& theta, T g, T& m, T& v) {
  g = effective_gradient(c.decay, g, theta);
  average(c.averages, g, m, v);
  theta = c.decay.keep * theta - c.step_size * (m / (square_root(v) * c.inverse_root + c.eps));
}

template <class T>
FASTNN_STEP void adam_step(const AdamConstants<T>& c, T& theta, T g, T& m, T& v, T& v_max) {
  g = effective_gradient(c.decay, g, theta);
  average(c.averages, g, m, v);
  v_max = larger(v_max, v);
  theta = c.decay.keep * theta - c.step_size * (m / (square_root(v_max) * c.inverse_root + c.eps));
}

// Kingma and Ba 2015, algorithm 2, with eps where PyTorch adds it; step_size = lr / (1 - beta1^t).
template <class T>
struct AdamaxConstants {
  Decay<T> decay;
  Averages<T> averages;
  T step_size, eps;
};

template <class T>
FASTNN_STEP void adamax_step(const AdamaxConstants<T>& c, T& theta, T g, T& m, T& u) {
  g = effective_gradient(c.decay, g, theta);
  m = c.averages.beta1 * m + c.averages.one_minus_beta1 * g;
  u = larger(c.averages.beta2 * u, (g < 0 ? -g : g) + c.eps);
  theta -= c.step_size * (m / u);
}

// T. Dozat, "Incorporating Nesterov momentum into Adam", ICLR workshop 2016. The gradient and the momentum each have a
// bias correction of their own: gradient_step = lr (1 - mu_t) / (1 - mu_1 ... mu_t),
// momentum_step = lr mu_(t+1) / (1 - mu_1 ... mu_(t+1)).
template <class T>
struct NAdamConstants {
  Decay<T> decay;
  Averages<T> averages;
  T gradient_step, momentum_step, inverse_root, eps;
};

template <class T>
FASTNN_STEP void nadam_step(const NAdamConstants<T>& c, T& theta, T g, T& m, T& v) {
  const T kept = c.decay.keep * theta;
  g = effective_gradient(c.decay, g, theta);
  average(c.averages, g, m, v);
  theta = kept - (c.gradient_step * g + c.momentum_step * m) / (square_root(v) * c.inverse_root + c.eps);
}

// L. Liu et al., "On the variance of the adaptive learning rate and beyond", ICLR 2020, algorithm 2. While the variance
// of v is infinite (rectified = false), the step uses the momentum alone. step_size includes both bias corrections and
// r_t.
template <class T>
struct RAdamConstants {
  Decay<T> decay;
  Averages<T> averages;
  T step_size, eps;
  bool rectified;
};

template <bool rectified, class T>
FASTNN_STEP void radam_step(const RAdamConstants<T>& c, T& theta, T g, T& m, T& v) {
  const T kept = c.decay.keep * theta;
  g = effective_gradient(c.decay, g, theta);
  average(c.averages, g, m, v);
  theta = kept - c.step_size * (rectified ? m / (square_root(v) + c.eps) : m);
}

// X. Chen et al., "Symbolic discovery of optimization algorithms", NeurIPS 2023, algorithm 2. The sign of NaN is NaN.
template <class T>
struct LionConstants {
  Decay<T> decay;
  Averages<T> averages;
  T lr;
};

template <class T>
FASTNN_STEP T sign(T x) {
  return x > 0 ? T(1) : (x < 0 ? T(-1) : x);
}

template <class T>
FASTNN_STEP void lion_step(const LionConstants<T>& c, T& theta, T g, T& m) {
  g = effective_gradient(c.decay, g, theta);
  theta = c.decay.keep * theta - c.lr * sign(c.averages.beta1 * m + c.averages.one_minus_beta1 * g);
  m = c.averages.beta2 * m + c.averages.one_minus_beta2 * g;
}

}  // namespace fastnn
