// Steps of Adam, its variants, and Lion.
#pragma once

#include "kernels/step.h"
#include "steps/adam.h"

namespace fastnn {
namespace {

template <class F, class T>
void adam_kernel(const StepArgs<AdamConstants<T>>& a) noexcept {
  step_kernel<F>(a, [](const auto& c, auto run) {
    if (c.amsgrad) return run(States<3>(), [](auto&... x) { adam_step(x...); });
    run(States<2>(), [](auto&... x) { adam_step(x...); });
  });
}

template <class F, class T>
void adamax_kernel(const StepArgs<AdamaxConstants<T>>& a) noexcept {
  step_kernel<F>(a, [](const auto&, auto run) { run(States<2>(), [](auto&... x) { adamax_step(x...); }); });
}

template <class F, class T>
void nadam_kernel(const StepArgs<NAdamConstants<T>>& a) noexcept {
  step_kernel<F>(a, [](const auto&, auto run) { run(States<2>(), [](auto&... x) { nadam_step(x...); }); });
}

template <class F, class T>
void radam_kernel(const StepArgs<RAdamConstants<T>>& a) noexcept {
  step_kernel<F>(a, [](const auto& c, auto run) {
    if (c.rectified) return run(States<2>(), [](auto&... x) { radam_step<true>(x...); });
    run(States<2>(), [](auto&... x) { radam_step<false>(x...); });
  });
}

template <class F, class T>
void lion_kernel(const StepArgs<LionConstants<T>>& a) noexcept {
  step_kernel<F>(a, [](const auto&, auto run) { run(States<1>(), [](auto&... x) { lion_step(x...); }); });
}

}  // namespace
}  // namespace fastnn
