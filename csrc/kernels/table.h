// The table of kernels that one ISA object exports: its only symbol.
#pragma once

#include "kernels/args.h"

namespace fastnn {

template <class T>
struct Kernels {
#define FASTNN_KERNEL(name, Args) void (*name)(const Args<T>&) noexcept;
#include "kernels/kernels.inc"
#undef FASTNN_KERNEL
};

struct Table {
  const char* isa;
  Kernels<float> f32;
  Kernels<double> f64;
  // The raw words of `blocks` blocks from `random` on, 64 each.
  void (*philox)(std::uint32_t* words, const Philox& random, Index blocks) noexcept;
};

}  // namespace fastnn
