// The vectors of matrix products: the only part of them that differs between instruction sets. Intrinsics, because GCC 12
// keeps a tile of sums in registers only as whole vectors: plain arrays under `omp simd` spill (12 against 112 GFLOP/s).
//
// Vectors<T> has vectors V of kWidth elements, and the size of the tile of sums that fills the registers: kRows rows of
// kVectors vectors. load(p, n) and store(p, v, n) touch the first n elements only; the others are loaded as 0. Turn has the
// vectors for transposing: turn() loads a square block, and returns its columns.
#pragma once

#if defined(__AVX2__)
#include "kernels/gemm/vectors_avx.h"
#else
#include "kernels/gemm/vectors_narrow.h"
#endif
