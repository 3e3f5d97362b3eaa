// Activations: value(x), and backward(dy, at) = dy * d value / dx, where `at` is x, or value(x) if activations.inc says
// so. Every activation passes NaN on and treats infinity as PyTorch does.
#pragma once

#include "steps/activation_kind.h"
#include "steps/gelu.h"
#include "steps/special.h"

namespace fastnn {

struct Identity {
  template <class T>
  FASTNN_STEP T value(const ActivationOptions<T>&, T x) { return x; }
  template <class T>
  FASTNN_STEP T backward(const ActivationOptions<T>&, T dy, T) { return dy; }
};

// V. Nair, G. Hinton, "Rectified linear units improve restricted Boltzmann machines", ICML 2010. NaN <= 0 is false, so
// NaN stays NaN. The gradient may be computed from the output too.
struct Relu {
  template <class T>
  FASTNN_STEP T value(const ActivationOptions<T>&, T x) { return x <= 0 ? T(0) : x; }
  template <class T>
  FASTNN_STEP T backward(const ActivationOptions<T>&, T dy, T x) { return x <= 0 ? T(0) : dy; }
};

// A. Maas, A. Hannun, A. Ng, "Rectifier nonlinearities improve neural network acoustic models", ICML 2013.
struct LeakyRelu {
  template <class T>
  FASTNN_STEP T value(const ActivationOptions<T>& slope, T x) { return x > 0 ? x : slope.first * x; }
  template <class T>
  FASTNN_STEP T backward(const ActivationOptions<T>& slope, T dy, T x) { return x > 0 ? dy : slope.first * dy; }
};

// D.-A. Clevert, T. Unterthiner, S. Hochreiter, "Fast and accurate deep network learning by exponential linear units",
// ICLR 2016, equation 15.
struct Elu {
  template <class T>
  FASTNN_STEP T value(const ActivationOptions<T>& alpha, T x) {
    return x < 0 ? alpha.first * exponential_minus_one(x) : x;
  }
  template <class T>
  FASTNN_STEP T backward(const ActivationOptions<T>& alpha, T dy, T x) {
    return x > 0 ? dy : dy * alpha.first * exponential_of_negative(x);
  }
};

// D. Hendrycks, K. Gimpel, "Gaussian error linear units", 2016: x Phi(x), with the derivative Phi(x) + x phi(x).
struct Gelu {
  template <class T>
  FASTNN_STEP T value(const ActivationOptions<T>&, T x) { return gelu_value(x); }
  template <class T>
  FASTNN_STEP T backward(const ActivationOptions<T>&, T dy, T x) { return dy * gelu_slope(x); }
};

// The approximation of the same paper: x (1 + tanh(u)) / 2 = x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3). From
// |x| = 30 on the sigmoid is 0 or 1, and a larger square would only make the derivative infinity times zero.
struct GeluTanh {
  static constexpr double kLinear = 0x1.9884533d43651p+0, kCubic = kLinear * 0.044715;
  template <class T>
  FASTNN_STEP T value(const ActivationOptions<T>&, T x) {
    return times_sigmoid(x, x * multiply_add(x * x, T(kCubic), T(kLinear)));
  }
  template <class T>
  FASTNN_STEP T backward(const ActivationOptions<T>&, T dy, T x) {
    const T square = x * x > 900 ? T(900) : x * x, slope = multiply_add(square, 3 * T(kCubic), T(kLinear));
    const SigmoidPair<T> s = sigmoid_pair(x * multiply_add(square, T(kCubic), T(kLinear)));
    return dy * multiply_add(x, slope * (s.of_x * s.of_minus_x), s.of_x);
  }
};

// S. Elfwing, E. Uchibe, K. Doya, "Sigmoid-weighted linear units", Neural Networks 107 (2018), equations 1 and 3.
struct Silu {
  template <class T>
  FASTNN_STEP T value(const ActivationOptions<T>&, T x) { return times_sigmoid(x, x); }
  template <class T>
  FASTNN_STEP T backward(const ActivationOptions<T>&, T dy, T x) {
    const SigmoidPair<T> s = sigmoid_pair(x);
    return dy * (s.of_x * multiply_add(x, s.of_minus_x, T(1)));
  }
};

struct Sigmoid {
  template <class T>
  FASTNN_STEP T value(const ActivationOptions<T>&, T x) { return sigmoid(x); }
  template <class T>
  FASTNN_STEP T backward(const ActivationOptions<T>&, T dy, T y) { return dy * (1 - y) * y; }
};

struct Tanh {
  template <class T>
  FASTNN_STEP T value(const ActivationOptions<T>&, T x) { return hyperbolic_tangent(x); }
  template <class T>
  FASTNN_STEP T backward(const ActivationOptions<T>&, T dy, T y) { return dy * (1 - y * y); }
};

// C. Dugas et al., "Incorporating second-order functional knowledge for better option pricing", NIPS 2000:
// ln(1 + e^(beta x)) / beta. Linear above the threshold, as in PyTorch.
struct Softplus {
  template <class T>
  FASTNN_STEP T value(const ActivationOptions<T>& beta, T x) {
    const T z = x * beta.first;
    const T soft = (z < 0 ? T(0) : z) + logarithm_plus_one(exponential_of_negative(-magnitude(z)));
    return z > beta.threshold ? x : soft / beta.first;
  }
  template <class T>
  FASTNN_STEP T backward(const ActivationOptions<T>& beta, T dy, T x) {
    const T z = x * beta.first;
    return z > beta.threshold ? dy : dy * sigmoid(z);
  }
};

}  // namespace fastnn
