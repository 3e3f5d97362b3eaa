// Copies parts of the operands into the order in which a tile reads them. Columns are padded with zeros to whole
// vectors; k never is, since a product of zeros would turn a sum of -0 into +0.
#pragma once

#include "kernels/args/gemm.h"
#include "kernels/gemm/vectors.h"

namespace fastnn {
namespace {

// The columns of a strip of b, and the elements between two rows of a packed strip of a: an odd number of cache lines,
// so that the rows of a tile lie in different sets of the cache.
template <class T>
constexpr Index kStrip = Vectors<T>::kWidth* Vectors<T>::kVectors;
template <class T>
constexpr Index kRowOfStrip = kMostTerms + 64 / Index(sizeof(T));

// The columns that a packed strip has in memory: whole vectors.
template <class T>
constexpr Index packed_width(Index columns) {
  return columns > Vectors<T>::kWidth ? kStrip<T> : Vectors<T>::kWidth;
}

// Copies rows of `columns` elements, and pads them to `width`.
template <class T>
inline void copy_rows(T* to, const T* from, Index from_row, Index terms, Index columns, Index width) {
  using R = Vectors<T>;
  for (Index k = 0; k < terms; ++k, to += width, from += from_row) {
    Index j = 0;
    for (; j + R::kWidth <= columns; j += R::kWidth) R::store(to + j, R::load(from + j));
    if (j < columns) R::store(to + j, R::load(from + j, columns - j));
  }
}

// The same from columns, in each of which the elements of k lie side by side.
template <class T>
inline void copy_columns(T* to, const T* from, Index from_column, Index terms, Index columns, Index width) {
  using R = typename Vectors<T>::Turn;
  constexpr Index turn = R::kWidth;
  for (Index i = 0; columns < width && i < terms * width; ++i) to[i] = 0;
  Index j = 0;
  for (; j + turn <= columns; j += turn) {
    const T* block = from + j * from_column;
    Index k = 0;
    for (; k + turn <= terms; k += turn) {
      typename R::V rows[turn];
      R::turn(rows, block + k, from_column);
#pragma GCC unroll 8
      for (Index i = 0; i < turn; ++i) R::store(to + (k + i) * width + j, rows[i]);
    }
    for (; k < terms; ++k) {
      for (Index i = 0; i < turn; ++i) to[k * width + j + i] = block[i * from_column + k];
    }
  }
  for (; j < columns; ++j) {
    for (Index k = 0; k < terms; ++k) to[k * width + j] = from[j * from_column + k];
  }
}

// Packs b (terms, columns) as strips, each (terms, packed_width). Rows are copied from left to right, since a strip alone would
// touch a new page with each line.
template <class T>
inline void pack_columns(T* to, const T* b, Index b_k, Index b_column, Index terms, Index columns) {
  constexpr Index width = kStrip<T>;
  const Index whole = columns / width * width;
  if (b_column == 1) {
    for (Index k = 0; k < terms; ++k) {
      const T* row = b + k * b_k;
      for (Index j = 0; j < whole; j += width) {
#pragma omp simd
        for (Index i = 0; i < width; ++i) to[j * terms + k * width + i] = row[j + i];
      }
    }
    if (whole < columns) copy_rows(to + whole * terms, b + whole, b_k, terms, columns - whole, packed_width<T>(columns - whole));
    return;
  }
  for (Index j = 0; j < columns; j += width, to += terms * width, b += width * b_column) {
    const Index n = columns - j < width ? columns - j : width, packed = packed_width<T>(n);
    if (b_k == 1) {
      copy_columns(to, b, b_column, terms, n, packed);
      continue;
    }
    for (Index k = 0; k < terms; ++k) {
      for (Index i = 0; i < packed; ++i) to[k * packed + i] = i < n ? b[k * b_k + i * b_column] : T(0);
    }
  }
}

// Prefetches what the next group packs, into the second-level cache.
template <class T>
inline void prefetch_later(const T* p, Index n) {
  for (Index i = 0; i < n; i += 64 / Index(sizeof(T))) __builtin_prefetch(p + i, 0, 2);
}

// Packs a (rows, terms) with k side by side.
template <class T>
inline void pack_rows(T* to, const T* a, Index a_row, Index a_k, Index rows, Index terms) {
  for (Index i = 0; i < rows; ++i, to += kRowOfStrip<T>, a += a_row) {
    if (a_k == 1) {
      prefetch_later(a + rows * a_row, terms);
#pragma omp simd
      for (Index k = 0; k < terms; ++k) to[k] = a[k];
    } else {
      for (Index k = 0; k < terms; ++k) to[k] = a[k * a_k];
    }
  }
}

// Packs a (rows, terms), whose rows lie side by side, as strips, each (terms, kRows). Each k is copied for all strips at
// once: for one strip alone, every line would be loaded for 56 of its bytes or less, from a page of its own.
template <class T>
inline void pack_side_by_side(T* to, const T* a, Index a_k, Index rows, Index terms) {
  constexpr Index most = Vectors<T>::kRows;
  const Index whole = rows / most * most;
  for (Index k = 0; k < terms; ++k, a += a_k) {
    prefetch_later(a + rows, rows);
    for (Index i = 0; i < whole; i += most) {
      T* strip = to + i * terms + k * most;
#pragma omp simd
      for (Index j = 0; j < most; ++j) strip[j] = a[i + j];
    }
    for (Index i = whole; i < rows; ++i) to[whole * terms + k * most + (i - whole)] = a[i];
  }
}

}  // namespace
}  // namespace fastnn
