// One row: c (n) = a (k) @ b (k, n). Every element of b is used once, so nothing is packed, and memory is the limit.
#pragma once

#include "kernels/gemm/pack.h"
#include "steps/portable.h"

namespace fastnn {
namespace {

// A b of this size may come from a cache, where the latency of a chain counts. From memory, fewer streams are better.
constexpr Index kCachedBytes = Index(8) << 20;

// Sums of a block of k, for columns in [0, n), from rows of b. Eight rows at a time: as many streams as the hardware
// follows.
template <class T>
inline void add_rows(T* sums, const T* a, Index a_k, const T* b, Index b_k, Index terms, Index n) {
  Index k = 0;
  for (; k + 8 <= terms; k += 8, a += 8 * a_k, b += 8 * b_k) {
    const T x0 = a[0], x1 = a[a_k], x2 = a[2 * a_k], x3 = a[3 * a_k];
    const T x4 = a[4 * a_k], x5 = a[5 * a_k], x6 = a[6 * a_k], x7 = a[7 * a_k];
    const T *b1 = b + b_k, *b2 = b1 + b_k, *b3 = b2 + b_k, *b4 = b3 + b_k, *b5 = b4 + b_k, *b6 = b5 + b_k, *b7 = b6 + b_k;
#pragma omp simd
    for (Index j = 0; j < n; ++j) {
      T s = fused(x0, b[j], sums[j]);
      s = fused(x1, b1[j], s);
      s = fused(x2, b2[j], s);
      s = fused(x3, b3[j], s);
      s = fused(x4, b4[j], s);
      s = fused(x5, b5[j], s);
      s = fused(x6, b6[j], s);
      sums[j] = fused(x7, b7[j], s);
    }
  }
  for (; k < terms; ++k, a += a_k, b += b_k) {
    const T x = a[0];
#pragma omp simd
    for (Index j = 0; j < n; ++j) sums[j] = fused(x, b[j], sums[j]);
  }
}

// Adds `at_once` blocks of k to `chains` vectors of columns of b, in each of which k lies side by side (a transposed
// weight), as it does in a. Square parts of b are turned in registers. One chain would wait for its own result at every
// k; another block is a second chain over the same columns, while more columns may lie in the same sets of the cache.
template <class T, int chains, int at_once>
inline void add_blocks(const GemmArgs<T>& args, T* c, const T* a, const T* b, Index block) {
  using R = typename Vectors<T>::Turn;
  constexpr Index turn = R::kWidth, width = chains * turn;
  const Index step = args.b_column, whole = args.k / gemm_blocks(args.k) / turn * turn;
  const Index second = gemm_block_begin(args.k, block + at_once - 1) - gemm_block_begin(args.k, block);
  a += gemm_block_begin(args.k, block);
  b += gemm_block_begin(args.k, block);
  typename R::V s[at_once][chains];
#pragma GCC unroll 4
  for (int i = 0; i < at_once * chains; ++i) s[i / chains][i % chains] = R::zero();
  for (Index k = 0; k < whole; k += turn) {
#pragma GCC unroll 4
    for (int i = 0; i < at_once * chains; ++i) {
      const Index first = k + (i / chains) * second;
      typename R::V rows[turn];
      const T* at = b + (i % chains) * turn * step + first;
      __asm__("" : "+r"(at));  // or GCC would keep a pointer for each row, most of them on the stack
      R::turn(rows, at, step);
#pragma GCC unroll 8
      for (Index l = 0; l < turn; ++l) s[i / chains][i % chains] = R::fma(R::broadcast(a[first + l]), rows[l], s[i / chains][i % chains]);
    }
  }
  T sums[at_once][width];
#pragma GCC unroll 4
  for (int i = 0; i < at_once * chains; ++i) R::store(&sums[i / chains][i % chains * turn], s[i / chains][i % chains]);
  for (int i = 0; i < at_once; ++i) {
    const Index first = i * second, terms = gemm_block_terms(args.k, block + i);
    const bool add = block + i > 0 || args.add;
    for (Index j = 0; j < width; ++j) {
      T sum = sums[i][j];
      for (Index k = whole; k < terms; ++k) sum = fused(a[first + k], b[j * step + first + k], sum);
      c[j] = add ? c[j] + sum : sum;
    }
  }
}

template <class T, int chains, int at_once>
inline void multiply_columns(const GemmArgs<T>& args, T* c, const T* a, const T* b) {
  const Index blocks = gemm_blocks(args.k);
  Index block = 0;
  for (; block + at_once <= blocks; block += at_once) add_blocks<T, chains, at_once>(args, c, a, b, block);
  for (; block < blocks; ++block) add_blocks<T, chains, 1>(args, c, a, b, block);
}

// Columns of b with any strides, one at a time.
template <class T>
inline void multiply_column(const GemmArgs<T>& args, T& c, const T* a, const T* b) {
  const Index blocks = gemm_blocks(args.k);
  for (Index block = 0; block < blocks; ++block) {
    const Index terms = gemm_block_terms(args.k, block);
    T sum = 0;
    for (Index k = 0; k < terms; ++k) sum = fused(a[k * args.a_k], b[k * args.b_k], sum);
    c = block > 0 || args.add ? c + sum : sum;
    a += terms * args.a_k;
    b += terms * args.b_k;
  }
}

// The row times rows of b; `sums` has room for n elements.
template <class T>
inline void multiply_rows(const GemmArgs<T>& args, T* c, const T* a, const T* b, Index n, T* sums) {
  const Index blocks = gemm_blocks(args.k);
  for (Index block = 0; block < blocks; ++block) {
    const Index terms = gemm_block_terms(args.k, block);
    for (Index j = 0; j < n; ++j) sums[j] = 0;
    add_rows(sums, a, args.a_k, b, args.b_k, terms, n);
    const bool add = block > 0 || args.add;
#pragma omp simd
    for (Index j = 0; j < n; ++j) c[j] = add ? c[j] + sums[j] : sums[j];
    a += terms * args.a_k;
    b += terms * args.b_k;
  }
}

template <class T>
inline void multiply_row(const GemmArgs<T>& args, T* c, const T* a, const T* b, Index n, T* buffer) {
  constexpr Index turn = Vectors<T>::Turn::kWidth;
  if (args.b_column == 1) return multiply_rows(args, c, a, b, n, buffer);
  Index j = 0;
  if (args.b_k == 1 && (args.a_k == 1 || args.k <= gemm_buffer<T>())) {
    const T* x = a;
    if (args.a_k != 1) {
      for (Index k = 0; k < args.k; ++k) buffer[k] = a[k * args.a_k];
      x = buffer;
    }
    if (args.k <= kMostTerms) {
      for (; j + 2 * turn <= n; j += 2 * turn) multiply_columns<T, 2, 1>(args, c + j, x, b + j * args.b_column);
    } else if (args.k * args.n * Index(sizeof(T)) <= kCachedBytes) {
      for (; j + turn <= n; j += turn) multiply_columns<T, 1, 2>(args, c + j, x, b + j * args.b_column);
    }
    for (; j + turn <= n; j += turn) multiply_columns<T, 1, 1>(args, c + j, x, b + j * args.b_column);
  }
  for (; j < n; ++j) multiply_column(args, c[j], a, b + j * args.b_column);
}

}  // namespace
}  // namespace fastnn
