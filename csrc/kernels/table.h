// The table of kernels that one ISA object exports: its only symbol.
#pragma once

#include "kernels/args.h"
#include "steps/adam.h"
#include "steps/optim.h"

namespace fastnn {

template <class T>
struct Kernels {
#define FASTNN_KERNEL(name, Args) void (*name)(const Args<T>&) noexcept;
#include "kernels/kernels.inc"
#undef FASTNN_KERNEL
};

template <class T>
struct StepKernels {
#define FASTNN_OPTIMIZER(name, Constants) void (*name)(const StepArgs<Constants<T>>&) noexcept;
#include "kernels/kernels.inc"
#undef FASTNN_OPTIMIZER
};

struct GradientKernels {
#define FASTNN_GRADIENT_KERNEL(name) void (*name)(const GradientArgs&) noexcept;
#include "kernels/kernels.inc"
#undef FASTNN_GRADIENT_KERNEL
};

struct Table {
  const char* isa;
  Kernels<float> f32;
  Kernels<double> f64;
  // By the format of parameters and state; what is not said to be otherwise is as it is computed with.
  StepKernels<float> step_f32, step_bf16_params, step_bf16_state, step_int8_state;
  StepKernels<double> step_f64;
  GradientKernels gradient_f32, gradient_f64, gradient_bf16;
  // The raw words of `blocks` blocks from `random` on, 64 each.
  void (*philox)(std::uint32_t* words, const Philox& random, Index blocks) noexcept;
  void (*integers)(const IntegersArgs&) noexcept;
  void (*permutation)(const PermutationArgs&) noexcept;
};

}  // namespace fastnn
