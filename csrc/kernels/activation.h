// Activations and their gradients, elementwise; y may be x, dx may be dy or x. bias_activation.h belongs to the same
// family, so that the loops of all activations are compiled once.
#pragma once

#include "kernels/activation_runs.h"
#include "kernels/bias_activation.h"
#include "kernels/parallel.h"

namespace fastnn {
namespace {

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

// Applies f to every element.
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
