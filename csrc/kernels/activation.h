// Elementwise, any shape; y may be x, dx may be dy or x. The loops over elements exist once per activation, and are chosen
// once per call.
#pragma once

#include "kernels/parallel.h"
#include "steps/activation.h"

namespace fastnn {
namespace {

template <class A, class T>
void activation_run(const ActivationOptions<T>& options, T* y, const T* x, Index n) noexcept {
  const ActivationOptions<T> o = options;
#pragma omp simd
  for (Index i = 0; i < n; ++i) y[i] = A::value(o, x[i]);
}

// `at` is what the activation's gradient is taken from.
template <class A, class T>
void activation_gradient_run(const ActivationOptions<T>& options, T* dx, const T* dy, const T* at, Index n) noexcept {
  const ActivationOptions<T> o = options;
#pragma omp simd
  for (Index i = 0; i < n; ++i) dx[i] = A::backward(o, dy[i], at[i]);
}

template <class T>
struct ActivationRuns {
  bool from_output;
  void (*forward)(const ActivationOptions<T>&, T*, const T*, Index) noexcept;
  void (*backward)(const ActivationOptions<T>&, T*, const T*, const T*, Index) noexcept;
};

template <class A, class T>
constexpr ActivationRuns<T> runs_of = {A::kFromOutput, &activation_run<A, T>, &activation_gradient_run<A, T>};

template <class T>
inline ActivationRuns<T> activation_runs(Activation kind) {
  switch (kind) {
    case Activation::identity: return runs_of<Identity, T>;
    case Activation::relu: return runs_of<Relu, T>;
    case Activation::leaky_relu: return runs_of<LeakyRelu, T>;
    case Activation::elu: return runs_of<Elu, T>;
    case Activation::gelu: return runs_of<Gelu, T>;
    case Activation::gelu_tanh: return runs_of<GeluTanh, T>;
    case Activation::silu: return runs_of<Silu, T>;
    case Activation::sigmoid: return runs_of<Sigmoid, T>;
    case Activation::tanh: return runs_of<Tanh, T>;
    default: return runs_of<Softplus, T>;
  }
}

template <class T>
void activation_kernel(const ActivationArgs<T>& a) noexcept {
  const auto run = activation_runs<T>(a.kind).forward;
  for_each_range(a.size, 1, [=, &a](Index begin, Index end) { run(a.options, a.y + begin, a.x + begin, end - begin); });
}

template <class T>
void activation_backward_kernel(const ActivationArgs<T>& a) noexcept {
  const auto run = activation_runs<T>(a.kind).backward;
  for_each_range(a.size, 1, [=, &a](Index begin, Index end) {
    run(a.options, a.y + begin, a.dy + begin, a.x + begin, end - begin);
  });
}

// f of every element.
template <class T, class F>
inline void map(const ElementaryArgs<T>& a, F f) {
  T* y = a.y;
  const T* x = a.x;
  for_each_range(a.size, 1, [=](Index begin, Index end) {
#pragma omp simd
    for (Index i = begin; i < end; ++i) y[i] = f(x[i]);
  });
}

template <class T>
void elementary_kernel(const ElementaryArgs<T>& a) noexcept {
  switch (a.kind) {
    case Elementary::exp: return map(a, [](T x) { return exponential(x); });
    case Elementary::log: return map(a, [](T x) { return logarithm(x); });
    case Elementary::tanh: return map(a, [](T x) { return hyperbolic_tangent(x); });
    default: return map(a, [](T x) { return error_function(x); });
  }
}

}  // namespace
}  // namespace fastnn
