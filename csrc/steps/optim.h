// One parameter, one step. Names are the papers'; what does not depend on the element is computed by the caller
// in double: bias corrections, 1 - beta, 1 - lr * weight_decay.
#pragma once

#include "steps/math.h"

namespace fastnn {

// Gradient ascent flips the sign; L2 regularisation adds its gradient. A zero weight_decay must not read theta:
// 0 * inf would be NaN.
template <class T>
FASTNN_STEP T effective_gradient(T g, T theta, T sign, T weight_decay) {
  return weight_decay == 0 ? sign * g : sign * g + weight_decay * theta;
}

// I. Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML 2013, in the
// form without the learning rate in the velocity b; gain = 1 - dampening, and 1 in a parameter's first step.
template <bool nesterov, class T>
FASTNN_STEP void momentum_step(T& theta, T& b, T g, T lr, T momentum, T gain) {
  const T new_b = momentum * b + gain * g;
  theta -= lr * (nesterov ? g + momentum * new_b : new_b);
  b = new_b;
}

template <class T>
FASTNN_STEP void sgd_step(T& theta, T g, T lr) {
  theta -= lr * g;
}

// D. P. Kingma, J. Ba, "Adam", ICLR 2015, algorithm 1: step_size = lr / (1 - beta1^t),
// inverse_root = 1 / sqrt(1 - beta2^t). With keep = 1 - lr * weight_decay it is AdamW: I. Loshchilov, F. Hutter,
// "Decoupled weight decay regularization", ICLR 2019, algorithm 2; keep = 1 is Adam.
template <class T>
FASTNN_STEP void adam_step(T& theta, T& m, T& v, T g, T keep, T beta1, T beta2, T one_minus_beta1,
                           T one_minus_beta2, T step_size, T inverse_root, T eps) {
  const T new_m = beta1 * m + one_minus_beta1 * g;
  const T new_v = beta2 * v + one_minus_beta2 * (g * g);
  theta = keep * theta - step_size * (new_m / (square_root(new_v) * inverse_root + eps));
  m = new_m;
  v = new_v;
}

}  // namespace fastnn
