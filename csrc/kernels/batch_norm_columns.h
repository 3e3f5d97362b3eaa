// Batch norm with the channels side by side: x is (rows, channels). The sums of tiles (column_sums.h) are merged in
// order.
#pragma once

#include "kernels/batch_norm_shared.h"
#include "kernels/column_sums.h"

namespace fastnn {
namespace {

template <class T>
inline void column_statistics(const BatchNormArgs<T>& a) noexcept {
  const Index channels = a.channels, height = tile_rows(channels), blocks = tile_row_blocks(a.outer, channels);
  double* partial = a.partial;
  const T* x = a.x;
  for_each_tile(a.outer, channels, [=](const Tile& tile) {
    double* mean = partial + 2 * tile.block * channels + tile.column;
    tile_moments(mean, mean + channels, tile, channels, x);
  });
  double *mean = partial, *squares = partial + channels;
  for (Index block = 1; block < blocks; ++block) {
    const double *m = partial + 2 * block * channels, *q = m + channels;
    const double before = double(block * height), rows = double(a.outer) - before;
    const double more = rows < double(height) ? rows : double(height);
#pragma omp simd
    for (Index c = 0; c < channels; ++c) merge_moments(before, mean[c], squares[c], more, m[c], q[c]);
  }
  for (Index c = 0; c < channels; ++c) close_statistics(a, c, mean[c], squares[c]);
}

// Arrays with one number per channel, after the sums in scratch memory: one array for each number that the arithmetic
// of an element needs.
template <class T, class Args>
inline T* channel_numbers(const Args& a) {
  return reinterpret_cast<T*>(a.partial + 2 * tile_row_blocks(a.outer, a.channels) * a.channels);
}

template <class After, class T>
void norm_columns(const BatchNormArgs<T>& a) noexcept {
  const Index n = a.channels;
  if (a.training) {
    column_statistics(a);
  } else {
    for (Index c = 0; c < n; ++c) close_statistics(a, c, 0, 0);
  }
  T *high = channel_numbers<T>(a), *low = high + n, *rstd = low + n, *weight = rstd + n, *bias = weight + n;
  for (Index c = 0; c < n; ++c) {
    const Moments<T> m = moments<T>(a.mean[c], a.rstd[c]);
    high[c] = m.mean_high;
    low[c] = m.mean_low;
    rstd[c] = m.rstd;
    weight[c] = weight_at(a.weight, c);
    bias[c] = bias_at(a.bias, c);
  }
  const T *x = a.x, *residual = a.residual;
  T* y = a.y;
  for_each_range(a.outer, n, [=](Index begin, Index end) {
    for (Index row = begin; row < end; ++row) {
      const Index at = row * n;
#pragma omp simd
      for (Index c = 0; c < n; ++c) {
        const Moments<T> m = {high[c], low[c], rstd[c]};
        y[at + c] = After::forward(normalise(x[at + c], m) * weight[c] + bias[c], residual, at + c);
      }
    }
  });
}

template <class After, class T>
void norm_columns_backward(const BatchNormBackwardArgs<T>& a) noexcept {
  const Index n = a.channels, blocks = tile_row_blocks(a.outer, n);
  double* partial = a.partial;
  T *high = channel_numbers<T>(a), *low = high + n, *rstd = low + n, *mean_g = rstd + n, *mean_gx = mean_g + n,
    *scale = mean_gx + n;
  for (Index c = 0; c < n; ++c) {
    const Moments<T> m = moments<T>(a.mean[c], a.rstd[c]);
    high[c] = m.mean_high;
    low[c] = m.mean_low;
    rstd[c] = m.rstd;
  }
  const T *x = a.x, *dy = a.dy, *y = a.y;
  for_each_tile(a.outer, n, [=](const Tile& tile) {
    double* sums = partial + 2 * tile.block * n + tile.column;
    const T *h = high + tile.column, *l = low + tile.column, *r = rstd + tile.column;
    tile_gradient_sums<T>(sums, sums + n, tile, n, [=](Index i, Index c) {
      return Terms<T>{After::backward(dy, y, i), normalise(x[i], Moments<T>{h[c], l[c], r[c]})};
    });
  });
  for (Index block = 1; block < blocks; ++block) {
#pragma omp simd
    for (Index c = 0; c < 2 * n; ++c) partial[c] += partial[2 * block * n + c];
  }
  for (Index c = 0; c < n; ++c) {
    const GradientMeans<T> k = gradient_means(a, c, partial[c], partial[n + c]);
    a.dbias[c] = T(partial[c]);
    a.dweight[c] = T(partial[n + c]);
    mean_g[c] = k.mean_g;
    mean_gx[c] = k.mean_gx;
    scale[c] = k.scale;
  }
  T *dx = a.dx, *dresidual = a.dresidual;
  for_each_range(a.outer, n, [=](Index begin, Index end) {
    for (Index row = begin; row < end; ++row) {
      const Index at = row * n;
#pragma omp simd
      for (Index c = 0; c < n; ++c) {
        const T g = After::backward(dy, y, at + c);
        const T normalised = normalise(x[at + c], Moments<T>{high[c], low[c], rstd[c]});
        After::keep(dresidual, at + c, g);
        dx[at + c] = normalise_gradient(g, normalised, mean_g[c], mean_gx[c], scale[c]);
      }
    }
  });
}

}  // namespace
}  // namespace fastnn
