// The tile of a product: sums that stay in registers over a whole block of k.
#pragma once

#include "kernels/gemm/vectors.h"

namespace fastnn {
namespace {

// to (rows, vectors of columns) = a (rows, terms) @ b (terms, columns), where b has whole vectors in each row, at a
// distance of b_row. In a, either k lies side by side, and rows at a distance of a_row; or rows lie side by side, and k at
// a distance of kRows (packed). Every loop over the tile is unrolled: one that is not would put the sums into memory.
template <class T, int rows, int vectors, bool packed>
__attribute__((noinline)) void multiply_tile(T* to, Index to_row, Index terms, const T* a, Index a_row, const T* b,
                                             Index b_row) {
  using R = Vectors<T>;
  using V = typename R::V;
  constexpr Index a_k = packed ? R::kRows : 1;
  if constexpr (packed) a_row = 1;
  V sums[rows][vectors];
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) sums[i][v] = R::zero();
  }
  for (Index k = 0; k < terms; ++k, a += a_k, b += b_row) {
    V row[vectors];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) row[v] = R::load(b + v * R::kWidth);
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      const V x = R::broadcast(a[i * a_row]);
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) sums[i][v] = R::fma(x, row[v], sums[i][v]);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) R::store(to + i * to_row + v * R::kWidth, sums[i][v]);
  }
}

template <class T>
using Tile = void (*)(T*, Index, Index, const T*, Index, const T*, Index);

// The heights of tiles: the full one, and smaller ones for the last rows.
template <class T>
constexpr int tile_rows(Index left) {
  constexpr int most = Vectors<T>::kRows;
  return left >= most ? most : left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
}

template <class T, int vectors, bool packed>
inline Tile<T> tile_of(int rows) {
  switch (rows) {
    case 1: return multiply_tile<T, 1, vectors, packed>;
    case 2: return multiply_tile<T, 2, vectors, packed>;
    case 4: return multiply_tile<T, 4, vectors, packed>;
    case 8: if constexpr (Vectors<T>::kRows > 8) return multiply_tile<T, 8, vectors, packed>; [[fallthrough]];
    default: return multiply_tile<T, Vectors<T>::kRows, vectors, packed>;
  }
}

}  // namespace
}  // namespace fastnn
