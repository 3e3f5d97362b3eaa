// y = dropout(activation(x + bias)) and its gradients; x is (rows, columns), bias is (columns). The flat array is cut
// into pieces that stay in the first-level cache. For each piece there is a loop for x + bias, one for the activation
// and one for the mask, so short rows cost nothing extra. y may be x, dx may be dy or x. Backward draws the mask again.
#pragma once

#include "kernels/activation_runs.h"
#include "kernels/mask.h"
#include "kernels/parts.h"
#include "steps/random.h"

namespace fastnn {
namespace {

constexpr Index kPiece = 512;

// Calls body(first, count) for pieces of [begin, end), cut at multiples of kPiece.
template <class Body>
inline void for_each_piece(Index begin, Index end, Body body) {
  for (Index first = begin; first < end;) {
    const Index border = (first / kPiece + 1) * kPiece, last = border < end ? border : end;
    body(first, last - first);
    first = last;
  }
}

// Calls body(i, column, n) for the parts of rows in a piece that begins at element `first`; i counts from `first`.
template <class Body>
inline void for_each_row_part(Index first, Index count, Index columns, Body body) {
  Index column = first % columns;
  for (Index i = 0; i < count;) {
    const Index n = columns - column < count - i ? columns - column : count - i;
    body(i, column, n);
    i += n;
    column = 0;
  }
}

// Returns the piece of x + bias, computed into `buffer` if there is a bias.
template <class T>
inline const T* biased(const BiasActivationArgs<T>& a, T* buffer, Index first, Index count) {
  const T *x = a.x + first, *bias = a.bias;
  if (!bias) return x;
  for_each_row_part(first, count, a.columns, [=](Index i, Index column, Index n) {
#pragma omp simd
    for (Index j = 0; j < n; ++j) buffer[i + j] = x[i + j] + bias[column + j];
  });
  return buffer;
}

// Writes the piece of `from` that begins at element `first` to `to`, with the mask applied.
template <class T>
inline void mask_piece(const BiasActivationArgs<T>& a, T* to, const T* from, Index first, Index count) {
  const std::uint32_t threshold = a.threshold;
  const T scale = a.scale;
  for_each_masked_run(first, first + count, a.random, [=](Index at, Index n, const std::uint32_t* bits16) {
    T* y = to + (at - first);
    const T* x = from + (at - first);
#pragma omp simd
    for (Index i = 0; i < n; ++i) y[i] = keep_or_drop(x[i], bits16[i], threshold, scale);
  });
}

// Computes elements [first, first + count) of y; `run` is the activation.
template <class T, class Run>
inline void bias_activation_run(const BiasActivationArgs<T>& a, Run run, Index first, Index count) {
  for_each_piece(first, first + count, [=, &a](Index at, Index n) {
    alignas(64) T buffer[kPiece];
    T* y = a.y + at;
    run(a.options, y, biased(a, buffer, at, n), n);
    if (a.masked) mask_piece(a, y, y, at, n);
  });
}

template <class T>
void bias_activation_kernel(const BiasActivationArgs<T>& a) noexcept {
  const auto run = activation_runs<T>(a.kind).forward;
  for_each_range(a.rows * a.columns, 1, [=, &a](Index begin, Index end) {
    bias_activation_run(a, run, begin, end - begin);
  });
}

// For products: see kernels/gemm.h.
template <class T>
void bias_activation_range_kernel(const BiasActivationRange<T>& a) noexcept {
  bias_activation_run(a.all, activation_runs<T>(a.all.kind).forward, a.first, a.count);
}

// Computes dx of a piece, and adds the piece's part of dbias.
template <class T>
inline void bias_activation_piece_backward(const BiasActivationArgs<T>& a, const ActivationRuns<T>& runs, T* dbias,
                                           Index first, Index count) {
  alignas(64) T at[kPiece], masked[kPiece], unwanted[kPiece];
  const T *z = biased(a, at, first, count), *dy = a.dy + first;
  T* dx = a.y ? a.y + first : unwanted;
  if (runs.from_output) {
    runs.forward(a.options, at, z, count);
    z = at;
  }
  if (a.masked) {
    mask_piece(a, masked, dy, first, count);
    dy = masked;
  }
  runs.backward(a.options, dx, dy, z, count);
  if (!dbias) return;
  for_each_row_part(first, count, a.columns, [=](Index i, Index column, Index n) {
#pragma omp simd
    for (Index j = 0; j < n; ++j) dbias[column + j] += dx[i + j];
  });
}

// The gradient with respect to the bias is summed over 64 rows in the element's type, then over those parts in double.
template <class T>
void bias_activation_backward_kernel(const BiasActivationArgs<T>& a) noexcept {
  const Index n = a.columns, parts = bias_blocks(a.rows);
  const ActivationRuns<T> runs = activation_runs<T>(a.kind);
  for_each_block(parts, a.rows * n, [=, &a](Index part) {
    T* dbias = a.dbias ? a.partial + part * n : nullptr;
    for (Index i = 0; dbias && i < n; ++i) dbias[i] = 0;
    const Index begin = part * kRowsPerBiasPart;
    const Index end = begin + kRowsPerBiasPart < a.rows ? begin + kRowsPerBiasPart : a.rows;
    for_each_piece(begin * n, end * n, [=, &a](Index first, Index count) {
      bias_activation_piece_backward(a, runs, dbias, first, count);
    });
  });
  if (a.dbias) add_parts(a.dbias, a.partial, parts, n, n);
}

}  // namespace
}  // namespace fastnn
