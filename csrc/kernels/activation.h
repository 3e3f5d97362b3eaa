// Elementwise, any shape; y may be x and dx may be dy.
#pragma once

#include "kernels/parallel.h"
#include "steps/activation.h"

namespace fastnn {
namespace {

constexpr Index kMapGrain = 65536;

template <class T>
void relu_kernel(const MapArgs<T>& a) noexcept {
  for_each_range(a.size, kMapGrain, [=](Index begin, Index end) {
#pragma omp simd
    for (Index i = begin; i < end; ++i) a.y[i] = relu(a.x[i]);
  });
}

template <class T>
void relu_backward_kernel(const MapArgs<T>& a) noexcept {
  for_each_range(a.size, kMapGrain, [=](Index begin, Index end) {
#pragma omp simd
    for (Index i = begin; i < end; ++i) a.y[i] = relu_gradient(a.dy[i], a.x[i]);
  });
}

}  // namespace
}  // namespace fastnn
