// Elementwise, any shape; y may be x and dx may be dy.
#pragma once

#include "kernels/parallel.h"
#include "steps/activation.h"

namespace fastnn {
namespace {

template <class T>
void relu_kernel(const MapArgs<T>& a) noexcept {
  for_each_range(a.size, 1, [=](Index begin, Index end) {
    T* y = a.y;
    const T* x = a.x;
#pragma omp simd
    for (Index i = begin; i < end; ++i) y[i] = relu(x[i]);
  });
}

template <class T>
void relu_backward_kernel(const MapArgs<T>& a) noexcept {
  for_each_range(a.size, 1, [=](Index begin, Index end) {
    T* dx = a.y;
    const T *dy = a.dy, *x = a.x;
#pragma omp simd
    for (Index i = begin; i < end; ++i) dx[i] = relu_gradient(dy[i], x[i]);
  });
}

}  // namespace
}  // namespace fastnn
