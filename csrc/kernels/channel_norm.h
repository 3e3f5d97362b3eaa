// Batch norm: x is (outer, channels, inner), statistics per channel, channels independent of one another. They are
// taken in tiles: with inner > 1 a tile is one channel, `outer` runs of `inner` elements; with inner == 1 it is 64
// columns side by side, at the end 8 or one. The passes over a tile find it in cache if it fits there.
// y may be x, dx may be dy.
#pragma once

#include "kernels/lanes.h"
#include "kernels/parallel.h"
#include "kernels/row_norm.h"

namespace fastnn {
namespace {

template <Index width>
struct PerChannel {
  double first[width], second[width];
};

struct Runs {
  static constexpr Index kWidth = 1;
  Index channel, outer, channels, inner;

  double count() const { return double(outer) * double(inner); }

  // Sums of both parts of term(i, c): i the element's index in x, c its channel's number in the tile.
  template <class Term>
  PerChannel<1> sums(Term term) const {
    PerChannel<1> total = {};
    for (Index run = 0; run < outer; ++run) {
      const Index begin = (run * channels + channel) * inner;
      const Pair part = sum_pairs(inner, [=](Index i) { return term(begin + i, Index(0)); });
      total.first[0] += part.first;
      total.second[0] += part.second;
    }
    return total;
  }

  template <class Body>
  void each(Body body) const {
    for (Index run = 0; run < outer; ++run) {
      const Index begin = (run * channels + channel) * inner;
#pragma omp simd
      for (Index i = begin; i < begin + inner; ++i) body(i, Index(0));
    }
  }
};

template <Index width>
struct Columns {
  static constexpr Index kWidth = width;
  Index channel, outer, channels;

  double count() const { return double(outer); }

  template <class Term>
  PerChannel<width> sums(Term term) const {
    PerChannel<width> total = {};
    for (Index row = 0; row < outer; ++row) {
      const Index begin = row * channels + channel;
#pragma omp simd
      for (Index c = 0; c < width; ++c) {
        const Pair t = term(begin + c, c);
        total.first[c] += t.first;
        total.second[c] += t.second;
      }
    }
    return total;
  }

  template <class Body>
  void each(Body body) const {
    for (Index row = 0; row < outer; ++row) {
      const Index begin = row * channels + channel;
#pragma omp simd
      for (Index c = 0; c < width; ++c) body(begin + c, c);
    }
  }
};

// body(tile) for tiles that cover all channels.
template <class Args, class Body>
inline void for_each_tile(const Args& a, Body body) noexcept {
  if (a.inner != 1) {
    return for_each_range(a.channels, a.outer * a.inner, [=](Index begin, Index end) {
      for (Index c = begin; c < end; ++c) body(Runs{c, a.outer, a.channels, a.inner});
    });
  }
  constexpr Index kWide = 64, kNarrow = 8;
  for_each_range((a.channels + kWide - 1) / kWide, a.outer * kWide, [=](Index begin, Index end) {
    const Index last = end * kWide < a.channels ? end * kWide : a.channels;
    Index c = begin * kWide;
    for (; c + kWide <= last; c += kWide) body(Columns<kWide>{c, a.outer, a.channels});
    for (; c + kNarrow <= last; c += kNarrow) body(Columns<kNarrow>{c, a.outer, a.channels});
    for (; c < last; ++c) body(Columns<1>{c, a.outer, a.channels});
  });
}

// Statistics of a tile: the batch's own in training, and into the running ones; else the running ones.
template <class T, class Tile>
inline void tile_statistics(const ChannelNormArgs<T>& a, const Tile& tile) {
  constexpr Index kWidth = Tile::kWidth;
  const Index first = tile.channel;
  if (!a.training) {
    for (Index c = first; c < first + kWidth; ++c) {
      a.mean[c] = double(a.running_mean[c]);
      a.rstd[c] = reciprocal_deviation(double(a.running_var[c]), a.eps);
    }
    return;
  }
  const T* x = a.x;
  const double count = tile.count();
  PerChannel<kWidth> mean = tile.sums([=](Index i, Index) { return Pair{double(x[i]), 0.0}; });
  for (double& m : mean.first) m /= count;
  const PerChannel<kWidth> square = tile.sums([=](Index i, Index c) {
    const double d = double(x[i]) - mean.first[c];
    return Pair{d * d, 0.0};
  });
  double *saved_mean = a.mean + first, *saved_rstd = a.rstd + first;
  const double eps = a.eps, momentum = a.momentum;
#pragma omp simd
  for (Index c = 0; c < kWidth; ++c) {
    saved_mean[c] = mean.first[c];
    saved_rstd[c] = reciprocal_deviation(square.first[c] / count, eps);
  }
  if (!a.running_mean) return;
  T *running_mean = a.running_mean + first, *running_var = a.running_var + first;
#pragma omp simd
  for (Index c = 0; c < kWidth; ++c) {
    running_mean[c] = running_average(running_mean[c], mean.first[c], momentum);
    running_var[c] = running_average(running_var[c], square.first[c] / (count - 1), momentum);
  }
}

template <class T, class Tile>
inline void norm_tile(const ChannelNormArgs<T>& a, const Tile& tile) {
  tile_statistics(a, tile);
  Moments<T> m[Tile::kWidth];
  T weight[Tile::kWidth], bias[Tile::kWidth];
  for (Index c = 0; c < Tile::kWidth; ++c) {
    m[c] = moments<T>(a.mean[tile.channel + c], a.rstd[tile.channel + c]);
    weight[c] = weight_at(a.weight, tile.channel + c);
    bias[c] = bias_at(a.bias, tile.channel + c);
  }
  const T* x = a.x;
  T* y = a.y;
  tile.each([&, x, y](Index i, Index c) { y[i] = normalise(x[i], m[c]) * weight[c] + bias[c]; });
}

template <class T>
void channel_norm_kernel(const ChannelNormArgs<T>& a) noexcept {
  for_each_tile(a, [=](const auto& tile) { norm_tile(a, tile); });
}

template <class T, class Tile>
inline void norm_tile_backward(const ChannelNormBackwardArgs<T>& a, const Tile& tile) {
  constexpr Index kWidth = Tile::kWidth;
  Moments<T> m[kWidth];
  for (Index c = 0; c < kWidth; ++c) m[c] = moments<T>(a.mean[tile.channel + c], a.rstd[tile.channel + c]);
  const T *x = a.x, *dy = a.dy;
  T* dx = a.dx;
  const PerChannel<kWidth> sums = tile.sums([&, x, dy](Index i, Index c) {
    return Pair{double(dy[i]), double(dy[i] * normalise(x[i], m[c]))};
  });
  T mean_g[kWidth], mean_gx[kWidth], scale[kWidth];
  for (Index c = 0; c < kWidth; ++c) {
    a.dbias[tile.channel + c] = T(sums.first[c]);
    a.dweight[tile.channel + c] = T(sums.second[c]);
    mean_g[c] = a.training ? T(sums.first[c] / tile.count()) : T(0);
    mean_gx[c] = a.training ? T(sums.second[c] / tile.count()) : T(0);
    scale[c] = m[c].rstd * weight_at(a.weight, tile.channel + c);
  }
  tile.each([&, x, dy, dx](Index i, Index c) {
    dx[i] = normalise_gradient(dy[i], normalise(x[i], m[c]), mean_g[c], mean_gx[c], scale[c]);
  });
}

template <class T>
void channel_norm_backward_kernel(const ChannelNormBackwardArgs<T>& a) noexcept {
  for_each_tile(a, [=](const auto& tile) { norm_tile_backward(a, tile); });
}

}  // namespace
}  // namespace fastnn
