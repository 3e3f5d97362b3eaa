// Calls of every function of the C API, by name. The arrays are compared after the call, inputs included.
#pragma once

#include "arrays.h"

namespace bits {

constexpr double kEps = 1e-5, kP = 0.3, kOption = 0.7, kThreshold = 20;
constexpr fastnn_random kRandom = {3, 2, 0xfffffffe};

inline const fastnn_f32& functions(float) { return *fastnn::c_api().f32; }
inline const fastnn_f64& functions(double) { return *fastnn::c_api().f64; }

template <class T>
struct Calls : Arrays<T> {
  using Arrays<T>::a, Arrays<T>::d;
  const decltype(functions(T())) c = functions(T());
  const Index rows, channels, inner, columns, size;

  Calls(Kind kind, Shape s)
      : Arrays<T>(kind), rows(s.outer), channels(s.channels), inner(s.inner), columns(s.channels * s.inner),
        size(s.outer * s.channels * s.inner) {}

  T* x(int number) { return a(number, size); }    // (rows, columns), which is (outer, channels, inner)
  T* row(int number) { return a(number, columns); }
  T* channel(int number) { return a(number, channels); }
  Index groups() const { return channels % 2 ? 1 : 2; }

  // call(kind, the first number of the arrays for this kind)
  template <class Call>
  int each_activation(Call call) {
    int failed = 0, first = 0;
#define FASTNN_ACTIVATION(name, NAME, ...) failed |= call(FASTNN_##NAME, first), first += 5;
#include "steps/activations.inc"
    return failed;
  }
  int activation() {
    return each_activation([this](auto kind, int i) {
      return c.activation(x(i), x(i + 1), size, kind, kOption, kThreshold);
    });
  }
  int activation_backward() {
    return each_activation([this](auto kind, int i) {
      return c.activation_backward(x(i), x(i + 1), x(i + 2), size, kind, kOption, kThreshold);
    });
  }
  int bias_activation() {
    return each_activation([this](auto kind, int i) {
      return c.bias_activation(x(i), x(i + 1), row(i + 2), rows, columns, kind, kOption, kThreshold, kP, kRandom);
    });
  }
  int bias_activation_backward() {
    return each_activation([this](auto kind, int i) {
      return c.bias_activation_backward(x(i), row(i + 1), x(i + 2), x(i + 3), row(i + 4), rows, columns, kind, kOption,
                                        kThreshold, kP, kRandom);
    });
  }
  // x @ y, x' @ y added, and a single row through a transposed matrix.
  int gemm() {
    return c.gemm(a(0, rows * 7), x(1), a(2, columns * 7), rows, 7, columns, 7, columns, 1, 7, 1, 0) |
           c.gemm(a(3, columns * 7), a(4, rows * 7), x(1), 7, columns, rows, columns, 1, 7, columns, 1, 1) |
           c.gemm(a(5, rows), a(6, columns), x(1), 1, rows, columns, rows, columns, 1, 1, columns, 0);
  }
  int linear() {
    return each_activation([this](auto kind, int i) {
      return c.linear(a(i, rows * 7), a(i + 1, rows * 7), x(i + 2), a(i + 3, columns * 7), a(i + 4, 7), rows, columns, 7,
                      kind, kOption, kThreshold, kP, kRandom);
    });
  }
  int dropout() { return c.dropout(x(0), x(1), size, kP, kRandom); }
  int dropout2d() { return c.dropout2d(x(0), x(1), rows * channels, inner, kP, kRandom); }
  int alpha_dropout() {
    return c.alpha_dropout(x(0), x(1), size, kP, 0, kRandom) | c.alpha_dropout(x(2), x(1), size, kP, 1, kRandom);
  }

  int layer_norm() { return c.layer_norm(x(0), d(0, rows), d(1, rows), x(1), row(2), row(3), rows, columns, kEps); }
  int layer_norm_backward() {
    return layer_norm() |
           c.layer_norm_backward(x(4), row(5), row(6), x(7), x(1), row(2), d(0, rows), d(1, rows), rows, columns);
  }
  int rms_norm() { return c.rms_norm(x(0), d(0, rows), x(1), row(2), rows, columns, kEps); }
  int rms_norm_backward() {
    return rms_norm() | c.rms_norm_backward(x(3), row(4), x(5), x(1), row(2), d(0, rows), rows, columns);
  }
  int dropout_add_layer_norm() {
    return c.dropout_add_layer_norm(x(0), x(1), d(0, rows), d(1, rows), x(2), x(3), row(4), row(5), rows, columns,
                                    kEps, kP, kRandom);
  }
  int dropout_add_layer_norm_backward() {
    return dropout_add_layer_norm() |
           c.dropout_add_layer_norm_backward(x(6), x(7), row(8), row(9), x(10), x(11), x(1), row(4), d(0, rows),
                                             d(1, rows), rows, columns, kP, kRandom);
  }
  int batch_norm() {
    int failed = 0;
    for (int training = 0; training < 2; ++training) {
      failed |= c.batch_norm(x(8 * training), d(2 * training, channels), d(2 * training + 1, channels), channel(1),
                             channel(2), x(3), channel(4), channel(5), x(6), rows, channels, inner, 0.1, kEps, training,
                             1, 1);
    }
    return failed;
  }
  int batch_norm_backward() {
    int failed = batch_norm();
    for (int training = 0; training < 2; ++training) {
      const int i = 10 + 5 * training;
      failed |= c.batch_norm_backward(x(i), x(i + 1), channel(i + 2), channel(i + 3), x(i + 4), x(3), x(8),
                                      channel(4), d(2, channels), d(3, channels), rows, channels, inner, training);
    }
    return failed;
  }
  int group_norm() {
    return c.group_norm(x(0), d(0, rows * groups()), d(1, rows * groups()), x(1), channel(2), channel(3), rows,
                        channels, groups(), inner, kEps);
  }
  int group_norm_backward() {
    return group_norm() |
           c.group_norm_backward(x(4), channel(5), channel(6), x(7), x(1), channel(2), d(0, rows * groups()),
                                 d(1, rows * groups()), rows, channels, groups(), inner);
  }
  int weight_norm() { return c.weight_norm(x(0), d(0, channels), x(1), channel(2), rows, channels, inner); }
  int weight_norm_backward() {
    return weight_norm() |
           c.weight_norm_backward(x(3), channel(4), x(5), x(1), channel(2), d(0, channels), rows, channels, inner);
  }

  // Windows of 3 x 3 and of 2 x 2, both with a stride of 2.
  template <class Pool>
  int pools(Pool pool) {
    int failed = 0;
    for (Index window = 3; window >= 2; --window) {
      const Index padding = window - 2, less = window - 2 * padding;
      if (channels < less || inner < less) continue;
      const Index outputs = rows * ((channels - less) / 2 + 1) * ((inner - less) / 2 + 1);
      const int i = 4 * int(window);
      failed |= pool(a(i, outputs), this->bytes(i, outputs), x(i + 1), a(i + 2, outputs), x(i + 3), rows, channels, inner,
                     window, window, Index(2), Index(2), padding, padding);
    }
    return failed;
  }
  int max_pool2d() {
    return pools([this](T* y, auto* index, T* x, T*, T*, auto... sizes) { return c.max_pool2d(y, index, x, sizes...); });
  }
  int max_pool2d_backward() {
    return max_pool2d() | pools([this](T*, auto* index, T*, T* dy, T* dx, auto... sizes) {
             return c.max_pool2d_backward(dx, dy, index, sizes...);
           });
  }

  int softmax() { return c.softmax(x(0), x(1), rows, channels, inner); }
  int softmax_backward() { return softmax() | c.softmax_backward(x(2), x(3), x(0), rows, channels, inner); }
  int log_softmax() { return c.log_softmax(x(0), x(1), rows, channels, inner); }
  int log_softmax_backward() { return log_softmax() | c.log_softmax_backward(x(2), x(3), x(0), rows, channels, inner); }
  const Index* classes() { return this->labels(0, rows, columns); }
  int softmax_cross_entropy() {
    return c.softmax_cross_entropy(x(0), d(0, rows), x(1), classes(), row(2), rows, columns, 0, 0.5) |
           c.softmax_cross_entropy(x(3), d(1, rows), x(1), classes(), row(2), rows, columns, 0.1, 0.5);
  }
  int softmax_cross_entropy_soft() {
    return c.softmax_cross_entropy_soft(x(0), d(0, rows), x(1), x(2), row(3), rows, columns, 0.1, 0.5);
  }
  int nll_loss() { return c.nll_loss(x(0), d(0, rows), x(1), classes(), row(2), rows, columns, 0.5); }
  int mse_loss() { return c.mse_loss(x(0), d(0, 1), x(1), x(2), size, 0.5); }
  int l1_loss() { return c.l1_loss(x(0), d(0, 1), x(1), x(2), size, 0.5); }
  int huber_loss() { return c.huber_loss(x(0), d(0, 1), x(1), x(2), size, 0.6, 0.5); }
  int smooth_l1_loss() { return c.smooth_l1_loss(x(0), d(0, 1), x(1), x(2), size, 0.6, 0.5); }
  int gaussian_nll_loss() { return c.gaussian_nll_loss(x(0), x(3), d(0, 1), x(1), x(2), x(4), size, 0.01, 1, 0.5); }
  int binary_cross_entropy_with_logits() { return c.binary_cross_entropy_with_logits(x(0), d(0, 1), x(1), x(2), x(3), x(4), size, 0.5); }
  int kl_div() {
    return c.kl_div(x(0), d(0, 1), x(1), x(2), size, 0, 0.5) | c.kl_div(x(3), d(1, 1), x(1), x(2), size, 1, 0.5);
  }

  int uniform() { return c.uniform(x(0), size, -0.3, 1.7, kRandom); }
  int normal() { return c.normal(x(0), size, 0.3, 1.7, kRandom); }
  int trunc_normal() {
    const double ends[][2] = {{-2, 2}, {-1e30, 6.5}, {3.1, INFINITY}, {-5, -3.5}};
    int failed = 0;
    for (int i = 0; i < 4; ++i) failed |= c.trunc_normal(x(i), size, 0.1, 1, ends[i][0], ends[i][1], kRandom);
    return failed;
  }
  int bernoulli() { return c.bernoulli(x(0), size, kP, kRandom); }
  int exponential() { return c.exponential(x(0), size, 1.7, kRandom); }

  // run(grads, sizes, count)
  template <class Run>
  int on_list(Run run) {
    T* grads[] = {x(0), row(1), channel(2)};
    const Index sizes[] = {size, columns, channels};
    return run(grads, sizes, Index(3));
  }
  int sum_squares() {
    return on_list([this](auto... list) { return c.sum_squares(d(0, 1), list...); });
  }
  int scale() {
    return on_list([this](auto... list) { return c.scale(list..., 0.7); });
  }
  int clamp() {
    return on_list([this](auto... list) { return c.clamp(list..., -0.4, 0.9); });
  }

  // Takes steps 1, 2, 3 and 1000, first without options, then with all of them.
  template <class Step>
  int steps(Step step) {
    int failed = 0;
    for (int on = 0; on < 2; ++on) {
      const int i = 20 * on;
      T* params[] = {x(i), row(i + 1)};
      T* grads[] = {x(i + 2), row(i + 3)};
      T* state[6];
      for (int k = 0; k < 6; ++k) state[k] = this->zeros(i + 4 + k, k % 2 ? columns : size);
      const Index sizes[] = {size, columns};
      const fastnn_options o = {.struct_size = sizeof(fastnn_options), .lr = 0.01, .weight_decay = 0.1 * on,
                                .momentum = 0.9 * on, .dampening = 0.2 * on, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8,
                                .momentum_decay = 0.004, .lr_decay = 0.01, .rho = 0.9, .alpha = 0.99,
                                .gradient_scale = 0.7, .maximize = on, .nesterov = on, .amsgrad = on,
                                .decoupled_weight_decay = on, .centered = on, .zero_grad = 0};
      d(on, 1)[0] = 1;
      for (Index t : {1, 2, 3, 1000}) failed |= step(params, grads, state, sizes, Index(2), t, d(on, 1), &o);
    }
    return failed;
  }
#define BITS_STEP(name) \
  int name() { return steps(c.name); }
  BITS_STEP(sgd) BITS_STEP(adam) BITS_STEP(adamax) BITS_STEP(nadam) BITS_STEP(radam) BITS_STEP(lion)
  BITS_STEP(adagrad) BITS_STEP(adadelta) BITS_STEP(rmsprop)
#undef BITS_STEP
};

}  // namespace bits
