// Sums down the columns of x (rows, channels), in tiles that fit the second-level cache, in the order of memory.
#pragma once

#include "kernels/args/batch_norm.h"
#include "kernels/gradient_sums.h"
#include "kernels/moments.h"
#include "kernels/parallel.h"

namespace fastnn {
namespace {

struct Tile {
  Index block, begin, end, column, width;  // the block has the rows [begin, end)
};

template <class Body>
inline void for_each_tile(Index rows, Index channels, Body body) noexcept {
  const Index height = tile_rows(channels), strips = (channels + kTileColumns - 1) / kTileColumns;
  for_each_block(tile_row_blocks(rows, channels) * strips, rows * channels, [=](Index i) {
    const Index block = i / strips, column = i % strips * kTileColumns, begin = block * height;
    const Index end = begin + height < rows ? begin + height : rows;
    body(Tile{block, begin, end, column, channels - column < kTileColumns ? channels - column : kTileColumns});
  });
}

template <class T>
struct Both {
  T first, second;
};

// Sums both parts of term(i, c) -> Both<Sum> down the tile into first[c] and second[c]; c counts from the tile's first
// column. Parts of `part` rows are summed in type Sum, and then in double. One row at a time: with eight, the sums went
// through memory less often, but the CPU did not prefetch the rows, and batch norm from memory took 1.3 times as long
// (Zen 4).
template <class Sum, Index part, class Term>
inline void column_sums(double* first, double* second, const Tile& tile, Index channels, Term term) {
  const Index width = tile.width;
  for (Index c = 0; c < width; ++c) first[c] = second[c] = 0;
  Sum f[kTileColumns], s[kTileColumns];
  for (Index row = tile.begin; row < tile.end; row += part) {
    const Index rows = row + part < tile.end ? part : tile.end - row, at = row * channels + tile.column;
    for (Index c = 0; c < width; ++c) f[c] = s[c] = 0;
    for (Index i = at; i < at + rows * channels; i += channels) {
#pragma omp simd
      for (Index c = 0; c < width; ++c) {
        const Both<Sum> t = term(i + c, c);
        f[c] += t.first;
        s[c] += t.second;
      }
    }
#pragma omp simd
    for (Index c = 0; c < width; ++c) {
      first[c] += double(f[c]);
      second[c] += double(s[c]);
    }
  }
}

constexpr Index kWideTerms = 64;  // rows of a part in double; long parts would have the bias that wide.h names

// Computes the mean of each column of the tile, and its sum of squared deviations. Squares of floats are exact in
// double; a second pass computes those where E[x^2] - mean^2 would cancel.
template <class T>
inline void tile_moments(double* mean, double* squares, const Tile& tile, Index channels, const T* x) {
  const double rows = double(tile.end - tile.begin);
  column_sums<double, kWideTerms>(mean, squares, tile, channels, [=](Index i, Index) {
    return Both<double>{double(x[i]), double(x[i]) * double(x[i])};
  });
  bool all_spread = true;
  double spread_squares[kTileColumns];
  for (Index c = 0; c < tile.width; ++c) {
    spread_squares[c] = squares[c] - mean[c] * (mean[c] / rows);
    mean[c] /= rows;
    const bool spread = sizeof(T) == sizeof(float) && is_spread(mean[c], spread_squares[c] / rows);
    if (!spread) spread_squares[c] = -1;
    all_spread = all_spread && spread;
  }
  if (!all_spread) {
    double unused[kTileColumns];
    column_sums<double, kWideTerms>(squares, unused, tile, channels, [=](Index i, Index c) {
      const double d = double(x[i]) - mean[c];
      return Both<double>{d * d, 0.0};
    });
  }
  for (Index c = 0; c < tile.width; ++c) squares[c] = spread_squares[c] < 0 ? squares[c] : spread_squares[c];
}

// Sums term(i, c) -> Terms<T> down the tile, as gradient_sums() does for a run.
template <class T, class Term>
inline void tile_gradient_sums(double* first, double* second, const Tile& tile, Index channels, Term term) {
  column_sums<T, kFloatTerms>(first, second, tile, channels, [=](Index i, Index c) {
    const Terms<T> t = term(i, c);
    return Both<T>{t.g, t.g * t.normalised};
  });
  bool finite = true;
  for (Index c = 0; c < tile.width; ++c) finite = finite && is_finite(first[c]) && is_finite(second[c]);
  if (finite) return;
  column_sums<double, kWideTerms>(first, second, tile, channels, [=](Index i, Index c) {
    const Terms<T> t = term(i, c);
    return Both<double>{double(t.g), double(t.g * t.normalised)};
  });
}

}  // namespace
}  // namespace fastnn
