// Batch norm of images: a channel of a sample is a run of `inner` elements. Both passes, one for the statistics of each
// run and one for the result, go through memory in its order. Processing channel after channel, where the second pass
// finds its data in cache, was 50 % slower, since the CPU prefetches along adjacent lines. Going backwards in the
// second pass was as slow (Zen 5, 64x64x56x56, one thread).
#pragma once

#include "kernels/batch_norm_shared.h"
#include "kernels/gradient_sums.h"
#include "kernels/moments.h"

namespace fastnn {
namespace {

// Calls body(run, channel, first element) for all runs.
template <class Args, class Body>
inline void for_each_run(const Args& a, Body body) noexcept {
  const Index channels = a.channels, inner = a.inner;
  for_each_range(a.outer * channels, inner, [=](Index begin, Index end) {
    for (Index run = begin; run < end; ++run) body(run, run % channels, run * inner);
  });
}

// Calls body(c) for all channels, where body merges the numbers of the channel's `outer` runs.
template <class Args, class Body>
inline void for_each_channel(const Args& a, Body body) noexcept {
  for_each_range(a.channels, 4 * a.outer, [=](Index begin, Index end) {
    for (Index c = begin; c < end; ++c) body(c);
  });
}

template <class T>
inline void run_statistics(const BatchNormArgs<T>& a) noexcept {
  double *mean = a.partial, *squares = mean + a.outer * a.channels;
  const T* x = a.x;
  const Index inner = a.inner, outer = a.outer, channels = a.channels;
  for_each_run(a, [=](Index run, Index, Index at) {
    const MeanVariance s = mean_variance(x + at, inner);
    mean[run] = s.mean;
    squares[run] = s.variance * double(inner);
  });
  for_each_channel(a, [=, &a](Index c) {
    double sum = 0, within = 0, between = 0;
    for (Index run = c; run < outer * channels; run += channels) {
      sum += mean[run];
      within += squares[run];
    }
    const double total = sum / double(outer);
    for (Index run = c; run < outer * channels; run += channels) between += (mean[run] - total) * (mean[run] - total);
    close_statistics(a, c, total, within + double(inner) * between);
  });
}

template <class After, class T>
void norm_runs(const BatchNormArgs<T>& a) noexcept {
  if (a.training) {
    run_statistics(a);
  } else {
    for (Index c = 0; c < a.channels; ++c) close_statistics(a, c, 0, 0);
  }
  for_each_run(a, [=, &a](Index, Index c, Index at) {
    const Moments<T> m = moments<T>(a.mean[c], a.rstd[c]);
    const T weight = weight_at(a.weight, c), bias = bias_at(a.bias, c);
    const T *x = a.x, *residual = a.residual;
    T* y = a.y;
#pragma omp simd
    for (Index i = at; i < at + a.inner; ++i) y[i] = After::forward(normalise(x[i], m) * weight + bias, residual, i);
  });
}

template <class After, class T>
void norm_runs_backward(const BatchNormBackwardArgs<T>& a) noexcept {
  double *sum_g = a.partial, *sum_gx = sum_g + a.outer * a.channels;
  const T *x = a.x, *dy = a.dy, *y = a.y;
  const Index inner = a.inner, outer = a.outer, channels = a.channels;
  for_each_run(a, [=, &a](Index run, Index c, Index at) {
    const Moments<T> m = moments<T>(a.mean[c], a.rstd[c]);
    const Pair sums = gradient_sums<T>(inner, [=](Index i) {
      return Terms<T>{After::backward(dy, y, at + i), normalise(x[at + i], m)};
    });
    sum_g[run] = sums.first;
    sum_gx[run] = sums.second;
  });
  for_each_channel(a, [=, &a](Index c) {
    for (Index run = c + channels; run < outer * channels; run += channels) {
      sum_g[c] += sum_g[run];
      sum_gx[c] += sum_gx[run];
    }
    a.dbias[c] = outer ? T(sum_g[c]) : T(0);
    a.dweight[c] = outer ? T(sum_gx[c]) : T(0);
  });
  for_each_run(a, [=, &a](Index, Index c, Index at) {
    const Moments<T> m = moments<T>(a.mean[c], a.rstd[c]);
    const GradientMeans<T> k = gradient_means(a, c, sum_g[c], sum_gx[c]);
    T *dx = a.dx, *dresidual = a.dresidual;
#pragma omp simd
    for (Index i = at; i < at + inner; ++i) {
      const T g = After::backward(dy, y, i), normalised = normalise(x[i], m);
      After::keep(dresidual, i, g);
      dx[i] = normalise_gradient(g, normalised, k.mean_g, k.mean_gx, k.scale);
    }
  });
}

}  // namespace
}  // namespace fastnn
