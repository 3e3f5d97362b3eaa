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

// Adds the sums of both parts of term(i, c) over `count` rows to first[c] and second[c].
template <int count, class Term>
inline void add_rows(double* first, double* second, Index at, Index width, Index channels, Term term) {
#pragma omp simd
  for (Index c = 0; c < width; ++c) {
    Pair sums = {};
#pragma GCC unroll 8
    for (int row = 0; row < count; ++row) {
      const Pair t = term(at + row * channels + c, c);
      sums.first += t.first;
      sums.second += t.second;
    }
    first[c] += sums.first;
    second[c] += sums.second;
  }
}

// Sums both parts of term(i, c) down the tile into first[c] and second[c]; c counts from the tile's first column. With
// eight rows at a time, the sums go through memory once for eight elements; but the CPU then does not prefetch the rows,
// so ahead(i) is called with the first element of each of the next eight.
template <class Term, class Ahead>
inline void column_sums(double* first, double* second, const Tile& tile, Index channels, Term term, Ahead ahead) {
  constexpr int kRows = 8;
  for (Index c = 0; c < tile.width; ++c) first[c] = second[c] = 0;
  Index row = tile.begin;
  for (; row + kRows <= tile.end; row += kRows) {
    for (Index next = row + kRows; next < row + 2 * kRows; ++next) ahead(next * channels + tile.column);
    add_rows<kRows>(first, second, row * channels + tile.column, tile.width, channels, term);
  }
  for (; row < tile.end; ++row) {
    add_rows<1>(first, second, row * channels + tile.column, tile.width, channels, term);
  }
}

// Computes the mean of each column of the tile, and its sum of squared deviations. Squares of floats are exact in
// double; a second pass computes those where E[x^2] - mean^2 would cancel.
template <class T>
inline void tile_moments(double* mean, double* squares, const Tile& tile, Index channels, const T* x) {
  const double rows = double(tile.end - tile.begin);
  const auto powers = [=](Index i, Index) { return Pair{double(x[i]), double(x[i]) * double(x[i])}; };
  column_sums(mean, squares, tile, channels, powers, [=](Index i) { prefetch(x + i, tile.width); });
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
    const auto deviations = [=](Index i, Index c) {
      const double d = double(x[i]) - mean[c];
      return Pair{d * d, 0.0};
    };
    column_sums(squares, unused, tile, channels, deviations, [](Index) {});
  }
  for (Index c = 0; c < tile.width; ++c) squares[c] = spread_squares[c] < 0 ? squares[c] : spread_squares[c];
}

// Sums term(i, c) -> Terms<T> down the tile, as gradient_sums() does for a run. One row at a time: with several, the CPU
// prefetches neither x nor dy, and backward from memory took 1.5 times as long (Zen 4).
template <class T, class Term>
inline void tile_gradient_sums(double* first, double* second, const Tile& tile, Index channels, Term term) {
  const Index width = tile.width;
  for (Index c = 0; c < width; ++c) first[c] = second[c] = 0;
  T f[kTileColumns], s[kTileColumns];
  for (Index row = tile.begin; row < tile.end; row += kFloatTerms) {
    const Index end = row + kFloatTerms < tile.end ? row + kFloatTerms : tile.end;
    for (Index c = 0; c < width; ++c) f[c] = s[c] = 0;
    for (Index at = row * channels + tile.column; at < end * channels + tile.column; at += channels) {
#pragma omp simd
      for (Index c = 0; c < width; ++c) {
        const Terms<T> t = term(at + c, c);
        f[c] += t.g;
        s[c] += t.g * t.normalised;
      }
    }
#pragma omp simd
    for (Index c = 0; c < width; ++c) {
      first[c] += double(f[c]);
      second[c] += double(s[c]);
    }
  }
  bool finite = true;
  for (Index c = 0; c < width; ++c) finite = finite && is_finite(first[c]) && is_finite(second[c]);
  if (finite) return;
  const auto wide_term = [=](Index i, Index c) {
    const Terms<T> t = term(i, c);
    return Pair{double(t.g), double(t.g * t.normalised)};
  };
  column_sums(first, second, tile, channels, wide_term, [](Index) {});
}

}  // namespace
}  // namespace fastnn
