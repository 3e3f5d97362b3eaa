// Batch norm: x is (outer, channels, inner), with statistics per channel. With inner > 1 a channel is `outer` runs of
// `inner` elements; with inner == 1 channels lie side by side. There are two passes over memory: one for the result,
// and before it one for the statistics, which are computed for parts in cache and merged. y may be x or residual, dx may
// be dy or x.
#pragma once

#include "kernels/batch_norm_columns.h"
#include "kernels/batch_norm_runs.h"

namespace fastnn {
namespace {

template <class T>
void batch_norm_kernel(const BatchNormArgs<T>& a) noexcept {
  with_after(a.residual, a.relu, [&a](auto after) {
    a.inner == 1 ? norm_columns<decltype(after)>(a) : norm_runs<decltype(after)>(a);
  });
}

template <class T>
void batch_norm_backward_kernel(const BatchNormBackwardArgs<T>& a) noexcept {
  with_after(a.dresidual, a.y, [&a](auto after) {
    a.inner == 1 ? norm_columns_backward<decltype(after)>(a) : norm_runs_backward<decltype(after)>(a);
  });
}

}  // namespace
}  // namespace fastnn
