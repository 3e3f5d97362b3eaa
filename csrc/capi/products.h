// Matrix products.
#pragma once

#include "calls/gemm.h"
#include "capi/elementwise.h"
#include "runtime/threads.h"

namespace fastnn {
namespace {

template <class T>
int multiply(GemmArgs<T> args) noexcept {
  if (args.m == 0 || args.n == 0) return kDone;
  plan(args, fastnn::get_num_threads());
  return with_scratch<T>(args.slots * gemm_buffer<T>(), [&](T* buffers) {
    args.buffers = buffers;
    kernels_for<T>().gemm(args);
  });
}

template <class T>
int gemm(T* c, const T* a, const T* b, Index m, Index n, Index k, Index c_row, Index a_row, Index a_column, Index b_row,
         Index b_column, int add) noexcept {
  return multiply<T>({.c = c, .a = a, .b = b, .m = m, .n = n, .k = k, .c_row = c_row, .a_row = a_row, .a_k = a_column,
                      .b_k = b_row, .b_column = b_column, .add = add != 0, .batch = 1, .a_offsets = nullptr,
                      .b_offsets = nullptr, .chunk_rows = 0, .chunk_columns = 0, .slots = 0, .work = 0,
                      .buffers = nullptr, .then = nullptr, .apply = nullptr});
}

template <class T>
int linear(T* y, T* product, const T* x, const T* weight, const T* bias, Index rows, Index in_features,
           Index out_features, fastnn_activation kind, double option, double threshold, double p,
           fastnn_random random) noexcept {
  if (!is_known(kind)) return kInvalid;
  T* c = product ? product : y;
  const BiasActivationArgs<T> then = bias_args<T>(y, c, bias, rows, out_features, kind, option, threshold, p, random);
  return multiply<T>({.c = c, .a = x, .b = weight, .m = rows, .n = out_features, .k = in_features,
                      .c_row = out_features, .a_row = in_features, .a_k = 1, .b_k = 1, .b_column = in_features,
                      .add = false, .batch = 1, .a_offsets = nullptr, .b_offsets = nullptr, .chunk_rows = 0,
                      .chunk_columns = 0, .slots = 0, .work = 0, .buffers = nullptr, .then = &then,
                      .apply = kernels_for<T>().bias_activation_range});
}

}  // namespace
}  // namespace fastnn
