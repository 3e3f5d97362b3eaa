// Passes over lists of gradients, and optimizer steps.
#pragma once

#include <string_view>

#include "calls/segments.h"
#include "capi/common.h"
#include "capi/options.h"

namespace fastnn {
namespace {

inline auto kernel_of(float, const GradientKernels& kernels) { return kernels.f32; }
inline auto kernel_of(double, const GradientKernels& kernels) { return kernels.f64; }
template <template <class> class Constants>
auto kernel_of(float, const StepKernels<Constants>& kernels) {
  return kernels.f32;
}
template <template <class> class Constants>
auto kernel_of(double, const StepKernels<Constants>& kernels) {
  return kernels.f64;
}

// Calls run(list) with the list of the gradients that have elements.
template <class T, class Run>
int with_gradients(T** grads, const Index* sizes, Index count, Run run) noexcept {
  return with_scratch<GradientSegment>(count, [&](GradientSegment* memory) {
    SegmentList<GradientSegment> list(memory);
    for (Index i = 0; i < count; ++i) {
      if (sizes[i]) list.add(sizes[i]).grad = grads[i];
    }
    return run(list);
  });
}

template <class T>
int sum_squares(double* sum, T** grads, const Index* sizes, Index count) noexcept {
  return with_gradients(grads, sizes, count, [&](const SegmentList<GradientSegment>& list) {
    return with_scratch<double>(partial_sums_of(list.end()), [&](double* partial) {
      const auto kernel = kernel_of(T(), kernel_table().sum_squares);
      *sum = add_squares(0, list, partial, [=](const GradientArgs& args) { kernel(args); });
    });
  });
}

template <class T>
int change_gradients(const GradientKernels& kernels, T** grads, const Index* sizes, Index count, double low,
                     double high) noexcept {
  return with_gradients(grads, sizes, count, [&](const SegmentList<GradientSegment>& list) {
    kernel_of(T(),
              kernels)({.segments = list.get(), .count = list.count(), .partial = nullptr, .low = low, .high = high});
  });
}

template <class T>
int scale(T** grads, const Index* sizes, Index count, double factor) noexcept {
  return change_gradients(kernel_table().scale, grads, sizes, count, factor, 0);
}

template <class T>
int clamp(T** grads, const Index* sizes, Index count, double low, double high) noexcept {
  return change_gradients(kernel_table().clamp, grads, sizes, count, low, high);
}

// Provides the C options by name, as the rules need them.
class NamedOptions {
 public:
  explicit NamedOptions(const fastnn_options& options) : o_(options) {}

  double number(std::string_view name) const {
    const std::pair<std::string_view, double> numbers[] = {{"lr", o_.lr},
                                                           {"weight_decay", o_.weight_decay},
                                                           {"eps", o_.eps},
                                                           {"momentum", o_.momentum},
                                                           {"dampening", o_.dampening},
                                                           {"momentum_decay", o_.momentum_decay},
                                                           {"lr_decay", o_.lr_decay},
                                                           {"rho", o_.rho},
                                                           {"alpha", o_.alpha}};
    for (const auto& [known, value] : numbers) {
      if (known == name) return value;
    }
    return 0;
  }
  bool flag(std::string_view name) const {
    const std::pair<std::string_view, int> flags[] = {{"maximize", o_.maximize},
                                                      {"nesterov", o_.nesterov},
                                                      {"amsgrad", o_.amsgrad},
                                                      {"centered", o_.centered},
                                                      {"decoupled_weight_decay", o_.decoupled_weight_decay}};
    for (const auto& [known, value] : flags) {
      if (known == name) return value != 0;
    }
    return false;
  }
  double beta(std::size_t i) const { return i ? o_.beta2 : o_.beta1; }

 private:
  const fastnn_options& o_;
};

template <class Rule, auto kernels, class T>
int step_of(T** params, T** grads, T** state, const Index* sizes, Index count, Index t, double* memory,
            const fastnn_options* options) noexcept {
  fastnn_options room;
  const fastnn_options* const known = read_options(*options, room);
  if (!known) return kInvalid;
  const Rule rule{NamedOptions(*known)};
  const Moment moment = {t, *memory, rule.remember(*memory, t)};
  const auto constants = rule.template constants<T>(known->gradient_scale, moment);
  using Segment = StepSegment<std::remove_const_t<decltype(constants)>>;
  const int done = with_scratch<Segment>(count, [&](Segment* segments) {
    SegmentList<Segment> list(segments);
    for (Index i = 0; i < count; ++i) {
      if (!grads[i] || !sizes[i]) continue;
      add_parameter(list, params[i], grads[i], sizes[i], constants, rule.kinds(),
                    [=](int kind) { return StateOf{state[kind * count + i], nullptr, false}; });
    }
    if (list.count() == 0) return;
    kernel_of(T(), kernel_table().*kernels)(
        {.segments = list.get(), .count = list.count(), .random = {0, 0, 0}, .zero_grad = known->zero_grad != 0});
  });
  if (done == kDone) *memory = moment.after;
  return done;
}

#define FASTNN_OPTIMIZER(name, Name, python)                                                                \
  template <class T>                                                                                        \
  int name(T** params, T** grads, T** state, const Index* sizes, Index count, Index step, double* memory,   \
           const fastnn_options* options) noexcept {                                                        \
    return step_of<Name##Rule, &Table::name, T>(params, grads, state, sizes, count, step, memory, options); \
  }
#include "kernels/kernels.inc"

}  // namespace
}  // namespace fastnn
