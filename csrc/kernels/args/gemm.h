// Arguments of matrix products.
#pragma once

#include "kernels/args/common.h"

namespace fastnn {

template <class T>
struct BiasActivationArgs;
template <class T>
struct BiasActivationRange;

// An element of a product is one chain of fused multiply-adds over k, from +0, within each block of k; blocks are added
// in their order. The blocks depend on K alone: the least number of blocks of at most kMostTerms, of equal length up
// to one. Everything else (tiles, vectors, threads, M, N, batches) is free, and changes no bit.
static constexpr Index kMostTerms = 384;
static constexpr Index gemm_blocks(Index k) { return (k + kMostTerms - 1) / kMostTerms; }
static constexpr Index gemm_block_begin(Index k, Index block) {
  const Index blocks = gemm_blocks(k), longer = k % blocks;
  return block * (k / blocks) + (block < longer ? block : longer);
}
static constexpr Index gemm_block_terms(Index k, Index block) {
  return gemm_block_begin(k, block + 1) - gemm_block_begin(k, block);
}

// A job multiplies a chunk of rows and a chunk of columns of one product.
static constexpr Index kPanelBytes = 1024;  // the bytes of a row of a packed block of B: 256 floats

// A job packs a block of b, and after it a group of rows of a.
static constexpr Index kGroupRows = 64;
template <class T>
constexpr Index gemm_block_of_b() {
  return kPanelBytes / Index(sizeof(T)) * kMostTerms;
}
template <class T>
constexpr Index gemm_buffer() {
  return gemm_block_of_b<T>() + kGroupRows * (kMostTerms + 64 / Index(sizeof(T)));
}

// c (m, n) = a (m, k) @ b (k, n) for each of `batch` products; c must not overlap a or b.
template <class T>
struct GemmArgs {
  T* c;  // rows of n elements at a distance of c_row
  const T *a, *b;
  Index m, n, k;
  Index c_row, a_row, a_k, b_k, b_column;  // the distances between neighbours along an axis, of any sign, or 0
  bool add;                                // c += a @ b; otherwise c is not read
  Index batch;                             // products; the i-th c begins at c + i * m * c_row
  const Index *a_offsets, *b_offsets;      // where the operands of a product begin; null for one product
  Index chunk_rows, chunk_columns;         // of a job
  Index slots, work;                       // threads that may work at once; for run_blocks, in its unit
  T* buffers;                              // gemm_buffer elements for each slot
  const BiasActivationArgs<T>* then;       // applied to each part of c as soon as it is complete; may be null
  void (*apply)(const BiasActivationRange<T>&) noexcept;  // the kernel for that
};

}  // namespace fastnn
