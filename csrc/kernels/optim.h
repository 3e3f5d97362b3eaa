// Steps of the other optimizers.
#pragma once

#include "kernels/step.h"
#include "steps/optim.h"

namespace fastnn {
namespace {

template <class F, class T>
void sgd_kernel(const StepArgs<SgdConstants<T>>& a) noexcept {
  step_kernel<F>(a, [](const auto& c, auto run) {
    if (!c.has_velocity) return run(States<0>(), [](auto&... x) { sgd_step(x...); });
    if (c.nesterov) return run(States<1>(), [](auto&... x) { momentum_step<true>(x...); });
    run(States<1>(), [](auto&... x) { momentum_step<false>(x...); });
  });
}

template <class F, class T>
void adagrad_kernel(const StepArgs<AdagradConstants<T>>& a) noexcept {
  step_kernel<F>(a, [](const auto&, auto run) { run(States<1>(), [](auto&... x) { adagrad_step(x...); }); });
}

template <class F, class T>
void adadelta_kernel(const StepArgs<AdadeltaConstants<T>>& a) noexcept {
  step_kernel<F>(a, [](const auto&, auto run) { run(States<2>(), [](auto&... x) { adadelta_step(x...); }); });
}

template <class F, class T>
void rmsprop_kernel(const StepArgs<RmspropConstants<T>>& a) noexcept {
  step_kernel<F>(a, [](const auto& c, auto run) {
    if (c.has_momentum && c.centered) return run(States<3>(), [](auto&... x) { rmsprop_step(x...); });
    if (c.has_momentum) return run(States<2>(), [](auto&... x) { rmsprop_step<true>(x...); });
    if (c.centered) return run(States<2>(), [](auto&... x) { rmsprop_step<false>(x...); });
    run(States<1>(), [](auto&... x) { rmsprop_step(x...); });
  });
}

}  // namespace
}  // namespace fastnn
