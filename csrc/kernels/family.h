// The end of a family's unit, after the family's header: defines the functions that the namespace FASTNN_ISA exports
// for this family. The unit defines FASTNN_FAMILY_name as 1 for its family.
#pragma once

#define FASTNN_KERNEL(name, Args)                                        \
  void name(const Args<float>& a) noexcept { name##_kernel(a); }         \
  void name(const Args<double>& a) noexcept { name##_kernel(a); }
#define FASTNN_PLAIN_KERNEL(name, Args) \
  void name(const Args& a) noexcept { name##_kernel(a); }
#define FASTNN_GRADIENT(element, Storage, name) \
  void name##_##element(const GradientArgs& a) noexcept { name##_kernel<Storage>(a); }
#define FASTNN_GRADIENT_KERNEL(name) FASTNN_GRADIENT_ELEMENTS(FASTNN_GRADIENT, name)
#define FASTNN_STEP_OF(format, T, ParamStorage, StateStorage, name, Name)   \
  void name##_##format(const StepArgs<Name##Constants<T>>& a) noexcept {    \
    name##_kernel<Format<ParamStorage, StateStorage>>(a);                   \
  }
#define FASTNN_OPTIMIZER(name, Name, python) FASTNN_STEP_FORMATS(FASTNN_STEP_OF, name, Name)
#define FASTNN_FAMILY(name) FASTNN_FAMILY_##name

namespace fastnn::FASTNN_ISA {
#include "kernels/kernels.inc"
}  // namespace fastnn::FASTNN_ISA
