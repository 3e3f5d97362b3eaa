// The kernels of one instruction set, as pointers. Argument structs are only declared here. A file that fills one
// includes its header in kernels/args/, so that a change to one family's arguments recompiles that family alone.
#pragma once

#include "kernels/args/common.h"

namespace fastnn {

#define FASTNN_KERNEL(name, Args) \
  template <class T>              \
  struct Args;
#define FASTNN_PLAIN_KERNEL(name, Args) struct Args;
#define FASTNN_OPTIMIZER(name, Name, python) \
  template <class T>                         \
  struct Name##Constants;
#include "kernels/kernels.inc"
struct GradientArgs;
template <class Constants>
struct StepArgs;

template <class T>
struct Kernels {
#define FASTNN_KERNEL(name, Args) void (*name)(const Args<T>&) noexcept;
#include "kernels/kernels.inc"
};

struct GradientKernels {
#define FASTNN_POINTER(element, Storage, ...) void (*element)(const GradientArgs&) noexcept;
  FASTNN_GRADIENT_ELEMENTS(FASTNN_POINTER)
#undef FASTNN_POINTER
};

template <template <class> class Constants>
struct StepKernels {
#define FASTNN_POINTER(format, T, ParamStorage, StateStorage, ...) void (*format)(const StepArgs<Constants<T>>&) noexcept;
  FASTNN_STEP_FORMATS(FASTNN_POINTER)
#undef FASTNN_POINTER
};

struct Table {
  const char* isa;
  Kernels<float> f32;
  Kernels<double> f64;
#define FASTNN_PLAIN_KERNEL(name, Args) void (*name)(const Args&) noexcept;
#define FASTNN_GRADIENT_KERNEL(name) GradientKernels name;
#define FASTNN_OPTIMIZER(name, Name, python) StepKernels<Name##Constants> name;
#include "kernels/kernels.inc"
};

}  // namespace fastnn
