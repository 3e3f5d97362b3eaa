// c = a @ b: a job packs a block of b of one block of k, which then stays in the second-level cache, and passes over its
// rows of a with it, strip by strip; a strip stays in the first-level cache. kernels/args/gemm.h has the order of sums.
#pragma once

#include "kernels/args/activation.h"
#include "kernels/gemm/pack.h"
#include "kernels/gemm/row.h"
#include "kernels/gemm/tile.h"
#include "kernels/parallel.h"
#include "kernels/prefetch.h"

namespace fastnn {
namespace {

// From this number of rows, packing b pays.
constexpr Index kRowsWorthPacking = 64;

// At a distance that is a multiple of this, the rows of a tile lie in two sets of the first-level cache at most, and put
// each other out.
template <class T>
constexpr Index kBadStride = 2048 / Index(sizeof(T));

// Writes the sums of a tile to c, or adds them.
template <class T>
__attribute__((noinline)) void put_tile(T* c, Index c_row, const T* sums, Index rows, Index columns, bool add) {
  using R = Vectors<T>;
  for (Index i = 0; i < rows; ++i, c += c_row, sums += kStrip<T>) {
    for (Index j = 0; j < columns; j += R::kWidth) {
      const Index n = columns - j;
      const typename R::V v = R::load(sums + j);
      if (n < R::kWidth) {
        R::store(c + j, add ? R::add(R::load(c + j, n), v) : v, n);
      } else {
        R::store(c + j, add ? R::add(R::load(c + j), v) : v);
      }
    }
  }
}

// A part of one product.
template <class T>
struct Part {
  T* c;
  const T *a, *b;
  Index row, column, rows, columns;  // of c, where rows of all products follow each other
};

// A block of b: packed strips, or where b has it, with only the last columns packed.
template <class T>
struct BlockOfB {
  const T *packed, *in_place;
  Index row, terms, columns;
};

// Multiplies `rows` rows of a with all strips of a block of b. A tile that is complete goes straight to c.
template <class T, bool packed>
inline void multiply_strips(T* c, Index c_row, bool add, const T* a, Index a_row, int rows, const BlockOfB<T>& b) {
  constexpr Index width = kStrip<T>;
  for (Index j = 0; j < b.columns; j += width) {
    const Index columns = b.columns - j < width ? b.columns - j : width;
    const bool from_place = b.in_place && columns == width;
    const T* strip = from_place ? b.in_place + j : b.in_place ? b.packed : b.packed + j * b.terms;
    const Tile<T> tile = columns <= Vectors<T>::kWidth ? tile_of<T, 1, packed>(rows) : tile_of<T, Vectors<T>::kVectors, packed>(rows);
    const bool direct = columns == width && !add;
    for (Index i = 0; add && i < rows; ++i) prefetch_to_write(c + i * c_row + j, columns);
    alignas(64) T sums[Vectors<T>::kRows * width];
    tile(direct ? c + j : sums, direct ? c_row : width, b.terms, a, a_row, strip,
         from_place ? b.row : packed_width<T>(columns));
    if (!direct) put_tile(c + j, c_row, sums, rows, columns, add);
  }
}

template <class T>
inline void finish(const GemmArgs<T>& a, Index row, Index rows, Index column, Index columns) {
  if (!a.then) return;
  for (Index i = row; i < row + rows; ++i) a.apply({*a.then, i * a.n + column, columns});
}

// One block of k, from k0.
template <class T>
inline void multiply_block(const GemmArgs<T>& a, const Part<T>& p, Index k0, Index terms, T* buffer) {
  constexpr Index most = Vectors<T>::kRows, group = kGroupRows / most * most;
  const T *from_a = p.a + k0 * a.a_k, *from_b = p.b + k0 * a.b_k;
  const bool in_place = a.b_column == 1 && p.rows < kRowsWorthPacking;
  const Index whole = in_place ? p.columns / kStrip<T> * kStrip<T> : 0;
  pack_columns(buffer, from_b + whole * a.b_column, a.b_k, a.b_column, terms, p.columns - whole);
  const BlockOfB<T> b = {buffer, in_place ? from_b : nullptr, a.b_k, terms, p.columns};
  T* packed = buffer + gemm_block_of_b<T>();
  const bool side_by_side = a.a_row == 1 && a.a_k != 1, add = k0 > 0 || a.add, last = k0 + terms == a.k;
  for (Index first = 0; first < p.rows; first += group) {
    const Index in_group = p.rows - first < group ? p.rows - first : group;
    const T* rows_of_a = from_a + first * a.a_row;
    Index a_row = a.a_row;
    if (side_by_side) {
      pack_side_by_side(packed, rows_of_a, a.a_k, in_group, terms);
      rows_of_a = packed;
    } else if (a.a_k != 1 || (a.a_row % kBadStride<T> == 0 && p.columns > 2 * kStrip<T>)) {
      pack_rows(packed, rows_of_a, a.a_row, a.a_k, in_group, terms);
      rows_of_a = packed;
      a_row = kRowOfStrip<T>;
    }
    for (Index i = 0; i < in_group;) {
      const int rows = tile_rows<T>(in_group - i);
      T* c = p.c + (first + i) * a.c_row;
      if (side_by_side) {
        const T* strip = rows_of_a + i / most * most * terms + i % most;
        multiply_strips<T, true>(c, a.c_row, add, strip, 1, rows, b);
      } else {
        multiply_strips<T, false>(c, a.c_row, add, rows_of_a + i * a_row, a_row, rows, b);
      }
      if (last) finish(a, p.row + first + i, rows, p.column, p.columns);
      i += rows;
    }
  }
}

template <class T>
inline void multiply_part(const GemmArgs<T>& a, const Part<T>& p, T* buffer) {
  if (a.m == 1 && a.k > 0) {
    multiply_row(a, p.c, p.a, p.b, p.columns, buffer);
    return finish(a, p.row, 1, p.column, p.columns);
  }
  const Index blocks = gemm_blocks(a.k);
  for (Index block = 0, k0 = 0; block < blocks; ++block) {
    const Index terms = gemm_block_terms(a.k, block);
    multiply_block(a, p, k0, terms, buffer);
    k0 += terms;
  }
  if (blocks > 0) return;
  for (Index i = 0; i < p.rows; ++i) {
    for (Index j = 0; j < p.columns && !a.add; ++j) p.c[i * a.c_row + j] = 0;
  }
  finish(a, p.row, p.rows, p.column, p.columns);
}

template <class T>
void gemm_kernel(const GemmArgs<T>& a) noexcept {
  const Index row_chunks = (a.m + a.chunk_rows - 1) / a.chunk_rows;
  const Index column_chunks = (a.n + a.chunk_columns - 1) / a.chunk_columns;
  const Index jobs = a.batch * row_chunks * column_chunks;
  Index next = 0;
  const auto least = [](Index x, Index y) { return x < y ? x : y; };
  // A block is a thread with a buffer of its own, which takes jobs until none is left.
  for_each_block(a.slots, a.work, [=, &a, &next](Index slot) {
    for (Index job; (job = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED)) < jobs;) {
      const Index product = job / (row_chunks * column_chunks);
      const Index row = job / column_chunks % row_chunks * a.chunk_rows, column = job % column_chunks * a.chunk_columns;
      const T* from_a = a.a + (a.a_offsets ? a.a_offsets[product] : 0) + row * a.a_row;
      const T* from_b = a.b + (a.b_offsets ? a.b_offsets[product] : 0) + column * a.b_column;
      const Part<T> part = {a.c + (product * a.m + row) * a.c_row + column, from_a, from_b, product * a.m + row, column,
                            least(a.chunk_rows, a.m - row), least(a.chunk_columns, a.n - column)};
      multiply_part(a, part, a.buffers + slot * gemm_buffer<T>());
    }
  });
}

}  // namespace
}  // namespace fastnn
