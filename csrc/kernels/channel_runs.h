// A channel of a batch norm as `outer` runs of `inner` elements, `channels * inner` apart. Channels are independent.
#pragma once

#include "kernels/channel_shared.h"

namespace fastnn {
namespace {

struct Runs {
  Index first, distance, inner, outer;

  template <class Args>
  Runs(const Args& a, Index channel)
      : first(channel * a.inner), distance(a.channels * a.inner), inner(a.inner), outer(a.outer) {}

  template <class Body>
  void each(Body body) const {
    for (Index run = 0; run < outer; ++run) {
      const Index at = first + run * distance;
#pragma omp simd
      for (Index i = at; i < at + inner; ++i) body(i);
    }
  }
};

// As many runs as fit the first cache are passed over twice, then their mean and squares are merged into the total.
template <class T>
inline void run_statistics(const ChannelNormArgs<T>& a, const Runs& runs, Index channel) {
  constexpr Index kGroupElements = 4096;
  const Index group = runs.inner < kGroupElements ? kGroupElements / runs.inner : 1;
  const T* x = a.x;
  double mean = 0, squares = 0;
  for (Index begin = 0; begin < a.outer; begin += group) {
    const Index end = begin + group < a.outer ? begin + group : a.outer;
    const double count = double(end - begin) * double(runs.inner);
    const T* part = x + runs.first + begin * runs.distance;
    const Index part_runs = end - begin, distance = runs.distance, inner = runs.inner;
    const double m = sum_runs(part_runs, distance, inner, [=](Index i) { return double(part[i]); }) / count;
    const double q = sum_runs(part_runs, distance, inner, [=](Index i) {
      const double d = double(part[i]) - m;
      return d * d;
    });
    if (begin == 0) {
      mean = m;
      squares = q;
    } else {
      merge_moments(double(begin) * double(runs.inner), mean, squares, count, m, q);
    }
  }
  close_statistics(a, channel, mean, squares);
}

template <class After, class T>
void norm_runs(const ChannelNormArgs<T>& a) noexcept {
  for_each_range(a.channels, a.outer * a.inner, [=](Index begin, Index end) {
    for (Index c = begin; c < end; ++c) {
      const Runs runs(a, c);
      if (a.training) {
        run_statistics(a, runs, c);
      } else {
        close_statistics(a, c, 0, 0);
      }
      const Moments<T> m = moments<T>(a.mean[c], a.rstd[c]);
      const T weight = weight_at(a.weight, c), bias = bias_at(a.bias, c);
      const T *x = a.x, *residual = a.residual;
      T* y = a.y;
      runs.each([=](Index i) { y[i] = After::forward(normalise(x[i], m) * weight + bias, residual, i); });
    }
  });
}

template <class After, class T>
void norm_runs_backward(const ChannelNormBackwardArgs<T>& a) noexcept {
  for_each_range(a.channels, a.outer * a.inner, [=](Index begin, Index end) {
    for (Index c = begin; c < end; ++c) {
      const Runs runs(a, c);
      const Moments<T> m = moments<T>(a.mean[c], a.rstd[c]);
      const T *x = a.x, *dy = a.dy, *y = a.y;
      const Index first = runs.first;
      const Pair sums = sum_runs_of_pairs(a.outer, runs.distance, a.inner, [=](Index i) {
        const T g = After::backward(dy, y, first + i);
        return Pair{double(g), double(g * normalise(x[first + i], m))};
      });
      const GradientMeans<T> k = close_gradient(a, c, sums.first, sums.second);
      T *dx = a.dx, *dresidual = a.dresidual;
      runs.each([=](Index i) {
        const T g = After::backward(dy, y, i), normalised = normalise(x[i], m);
        After::keep(dresidual, i, g);
        dx[i] = normalise_gradient(g, normalised, k.mean_g, k.mean_gx, k.scale);
      });
    }
  });
}

}  // namespace
}  // namespace fastnn
