// One step for a list of tensors. The list is laid end to end and cut into equal ranges, so that 400 small
// tensors cost what one large one does. Parameters and state are updated in place, gradients only read; none may
// overlap. Elements are independent: same bits for any split.
#pragma once

#include "kernels/parallel.h"
#include "steps/optim.h"

namespace fastnn {
namespace {

// body(segment, begin, end) for the pieces of segments that make up each range.
template <class Segment, class Body>
inline void for_each_piece(const Segment* segments, Index count, Body body) noexcept {
  if (count == 0) return;
  for_each_range(segments[count - 1].end, 1, [=](Index begin, Index end) {
    Index low = 0, high = count - 1;
    while (low < high) {  // the first segment that ends after `begin`
      const Index middle = (low + high) / 2;
      if (segments[middle].end > begin) high = middle; else low = middle + 1;
    }
    for (Index s = low; begin < end; ++s) {
      const Index start = s == 0 ? 0 : segments[s - 1].end;
      const Index stop = segments[s].end < end ? segments[s].end : end;
      body(segments[s], begin - start, stop - start);
      begin = stop;
    }
  });
}

// Arguments come by value into these loops: behind a reference they might be what a store changes, and the compiler
// would load them again for every vector.
template <bool nesterov, class T>
inline void momentum_range(const SgdArgs<T> a, const SgdSegment<T> s, Index begin, Index end) {
#pragma omp simd
  for (Index i = begin; i < end; ++i) {
    const T g = effective_gradient(s.grad[i], s.theta[i], a.sign, a.weight_decay);
    momentum_step<nesterov>(s.theta[i], s.velocity[i], g, a.lr, a.momentum, s.gain);
  }
}

template <class T>
inline void sgd_range(const SgdArgs<T> a, const SgdSegment<T> s, Index begin, Index end) {
#pragma omp simd
  for (Index i = begin; i < end; ++i) {
    sgd_step(s.theta[i], effective_gradient(s.grad[i], s.theta[i], a.sign, a.weight_decay), a.lr);
  }
}

template <class T>
void sgd_kernel(const SgdArgs<T>& a) noexcept {
  for_each_piece(a.segments, a.count, [=](const SgdSegment<T>& s, Index begin, Index end) {
    if (!a.has_velocity) return sgd_range(a, s, begin, end);
    return a.nesterov ? momentum_range<true>(a, s, begin, end) : momentum_range<false>(a, s, begin, end);
  });
}

template <class T>
inline void adam_range(const AdamArgs<T> a, const AdamSegment<T> s, Index begin, Index end) {
#pragma omp simd
  for (Index i = begin; i < end; ++i) {
    const T g = effective_gradient(s.grad[i], s.theta[i], a.sign, a.weight_decay);
    adam_step(s.theta[i], s.m[i], s.v[i], g, a.keep, a.beta1, a.beta2, a.one_minus_beta1, a.one_minus_beta2,
              s.step_size, s.inverse_root, a.eps);
  }
}

template <class T>
void adam_kernel(const AdamArgs<T>& a) noexcept {
  for_each_piece(a.segments, a.count,
                 [=](const AdamSegment<T>& s, Index begin, Index end) { adam_range(a, s, begin, end); });
}

}  // namespace
}  // namespace fastnn
