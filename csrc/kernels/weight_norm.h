// Weight norm: v is (outer, channels, inner), with a norm per channel. If outer == 1 a channel is one run, if inner ==
// 1 it is a column. w may be v, dv may be dw or v.
#pragma once

#include "kernels/args/weight_norm.h"
#include "kernels/channel_tiles.h"
#include "steps/weight_norm.h"

namespace fastnn {
namespace {

template <class T, class Tile>
inline void weight_norm_tile(const WeightNormArgs<T>& a, const Tile& tile) {
  constexpr Index kWidth = Tile::kWidth;
  const T *v = a.v, *g = a.g + tile.channel;
  T* w = a.w;
  double* norm = a.norm + tile.channel;
  const PerChannel<kWidth> squares = tile.sums([=](Index i, Index) { return Pair{double(v[i]) * double(v[i]), 0.0}; });
  double scale[kWidth];
  for (Index c = 0; c < kWidth; ++c) {
    norm[c] = square_root(squares.first[c]);
    scale[c] = double(g[c]) / norm[c];
  }
  tile.each([&, v, w](Index i, Index c) { w[i] = scaled_direction(v[i], scale[c]); });
}

template <class T>
void weight_norm_kernel(const WeightNormArgs<T>& a) noexcept {
  for_each_channel_tile(a, [=](const auto& tile) { weight_norm_tile(a, tile); });
}

template <class T, class Tile>
inline void weight_norm_tile_backward(const WeightNormBackwardArgs<T>& a, const Tile& tile) {
  constexpr Index kWidth = Tile::kWidth;
  const T *dw = a.dw, *v = a.v, *g = a.g + tile.channel;
  T *dv = a.dv, *dg = a.dg + tile.channel;
  const double* norm = a.norm + tile.channel;
  const PerChannel<kWidth> dots = tile.sums([=](Index i, Index) { return Pair{double(dw[i]) * double(v[i]), 0.0}; });
  double scale[kWidth], pull[kWidth];
  for (Index c = 0; c < kWidth; ++c) {
    const double gradient = magnitude_gradient(dots.first[c], norm[c]);
    scale[c] = double(g[c]) / norm[c];
    pull[c] = direction_pull(double(g[c]), gradient, norm[c]);
    dg[c] = T(gradient);
  }
  tile.each([&, dw, v, dv](Index i, Index c) { dv[i] = direction_gradient(dw[i], v[i], scale[c], pull[c]); });
}

template <class T>
void weight_norm_backward_kernel(const WeightNormBackwardArgs<T>& a) noexcept {
  for_each_channel_tile(a, [=](const auto& tile) { weight_norm_tile_backward(a, tile); });
}

}  // namespace
}  // namespace fastnn
