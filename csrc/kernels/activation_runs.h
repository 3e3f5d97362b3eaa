// The loops over elements, one for each activation; a kernel chooses one per call. y may be x, dx may be dy or x.
#pragma once

#include "kernels/args/activation.h"
#include "steps/activation.h"

namespace fastnn {
namespace {

template <class A, class T>
void activation_run(const ActivationOptions<T>& options, T* y, const T* x, Index n) noexcept {
  const ActivationOptions<T> o = options;
#pragma omp simd
  for (Index i = 0; i < n; ++i) y[i] = A::value(o, x[i]);
}

// The gradient is computed from `at`, which is x or y.
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

template <class T>
constexpr ActivationRuns<T> kActivationRuns[] = {
#define FASTNN_ACTIVATION(name, NAME, Step, from_output, ...) \
  {from_output, &activation_run<Step, T>, &activation_gradient_run<Step, T>},
#include "steps/activations.inc"
};

template <class T>
inline const ActivationRuns<T>& activation_runs(Activation kind) {
  return kActivationRuns<T>[int(kind)];
}

}  // namespace
}  // namespace fastnn
