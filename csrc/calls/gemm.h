// Plans a matrix product: which roles the operands have, how it is cut into jobs, and the memory for packing.
#pragma once

#include <algorithm>
#include <utility>

#include "kernels/args/gemm.h"

namespace fastnn {

// A second thread pays from this number of multiplications, some 10 us of one.
constexpr double kWorthThreads = 5e5;

// Multiplications that take as long as an element of other kernels, for run_blocks.
constexpr double kMultiplicationsPerElement = 16;

// c (1, n) = a (1, k) @ b is c (n, 1) = b' @ a'; a kernel for single rows serves both.
template <class T>
void make_row_of_column(GemmArgs<T>& g) {
  if (g.n != 1 || g.c_row != 1) return;
  std::swap(g.a, g.b);
  std::swap(g.a_offsets, g.b_offsets);
  std::swap(g.m, g.n);
  const Index a_row = g.a_row, a_k = g.a_k;
  g.a_row = g.b_column;
  g.a_k = g.b_k;
  g.b_k = a_k;
  g.b_column = a_row;
  g.c_row = g.n;
}

inline Index parts_of(Index size, Index part) { return (size + part - 1) / part; }

// What a job costs beside its products, in columns and rows: reading a strip of a again, packing b.
constexpr Index kColumnsOfJob = 8, kRowsOfJob = 24;

// The part of a job for which a thread waits for another one at the end, which another program may have kept off its core.
constexpr double kWaiting = 0.1;

// Sets chunks of rows and columns so that the thread with the most work has the least: all of them have nearly the same.
template <class T>
void divide(GemmArgs<T>& g, Index threads, Index widest) {
  constexpr Index kLine = 64 / Index(sizeof(T));
  double least = 0;
  for (Index rows = 1; rows == 1 || (rows <= 4 * threads && rows * 16 <= g.m); rows *= 2) {
    const Index chunk_rows = parts_of(g.m, rows), fewest = parts_of(g.n, widest);
    for (Index columns = fewest; columns == fewest || columns <= 4 * threads; columns += parts_of(columns, 4)) {
      const Index chunk = std::min(parts_of(parts_of(g.n, columns), kLine) * kLine, widest);
      const Index jobs = g.batch * rows * parts_of(g.n, chunk);
      const double job = double(chunk_rows + kRowsOfJob) * double(chunk + kColumnsOfJob);
      const double most = (double(parts_of(jobs, threads)) + kWaiting) * job;
      if (least > 0 && most >= least) continue;
      least = most;
      g.chunk_rows = chunk_rows;
      g.chunk_columns = chunk;
    }
  }
}

template <class T>
void plan(GemmArgs<T>& g, Index most_threads) {
  make_row_of_column(g);
  const Index panel = kPanelBytes / Index(sizeof(T)), widest = g.m == 1 ? 8 * panel : panel;
  const double work = double(g.batch) * double(g.m) * double(g.n) * double(std::max<Index>(g.k, 1));
  const Index threads = work < kWorthThreads ? 1 : most_threads;
  g.work = Index(std::min(work / kMultiplicationsPerElement, 1e18));
  g.chunk_rows = g.m;
  g.chunk_columns = widest;
  if (threads > 1) divide(g, threads, widest);
  g.slots = std::min(threads, g.batch * parts_of(g.m, g.chunk_rows) * parts_of(g.n, g.chunk_columns));
}

}  // namespace fastnn
