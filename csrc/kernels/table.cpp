// The table of the instruction set FASTNN_ISA: constant data. This file is compiled without that set's flags, since the
// table is read before anything has checked what the machine can run.
#include "kernels/table.h"

#define FASTNN_TEXT_(x) #x
#define FASTNN_TEXT(x) FASTNN_TEXT_(x)

namespace fastnn::FASTNN_ISA {

#define FASTNN_KERNEL(name, Args)         \
  void name(const Args<float>&) noexcept; \
  void name(const Args<double>&) noexcept;
#define FASTNN_PLAIN_KERNEL(name, Args) void name(const Args&) noexcept;
#define FASTNN_GRADIENT(element, Storage, name) void name##_##element(const GradientArgs&) noexcept;
#define FASTNN_GRADIENT_KERNEL(name) FASTNN_GRADIENT_ELEMENTS(FASTNN_GRADIENT, name)
#define FASTNN_STEP_OF(format, T, ParamStorage, StateStorage, name, Name) \
  void name##_##format(const StepArgs<Name##Constants<T>>&) noexcept;
#define FASTNN_OPTIMIZER(name, Name, python) FASTNN_STEP_FORMATS(FASTNN_STEP_OF, name, Name)
#include "kernels/kernels.inc"
#undef FASTNN_GRADIENT
#undef FASTNN_STEP_OF

template <class T>
constexpr Kernels<T> kernels = {
#define FASTNN_KERNEL(name, Args) .name = &FASTNN_ISA::name,
#include "kernels/kernels.inc"
};

extern constexpr Table table = {
    .isa = FASTNN_TEXT(FASTNN_ISA),
    .f32 = kernels<float>,
    .f64 = kernels<double>,
#define FASTNN_PLAIN_KERNEL(name, Args) .name = &FASTNN_ISA::name,
#define FASTNN_GRADIENT(element, Storage, name) .element = &name##_##element,
#define FASTNN_GRADIENT_KERNEL(name) .name = {FASTNN_GRADIENT_ELEMENTS(FASTNN_GRADIENT, name)},
#define FASTNN_STEP_OF(format, T, ParamStorage, StateStorage, name, Name) .format = &name##_##format,
#define FASTNN_OPTIMIZER(name, Name, python) .name = {FASTNN_STEP_FORMATS(FASTNN_STEP_OF, name, Name)},
#include "kernels/kernels.inc"
};

}  // namespace fastnn::FASTNN_ISA
