// Passes over lists of gradients, and optimizer steps.
#pragma once

#include <string_view>

#include "calls/optim_rules.h"
#include "calls/total.h"
#include "capi/common.h"
#include "capi/options.h"
#include "kernels/parallel.h"

namespace fastnn {
namespace {

inline const GradientKernels& gradient_kernels(float) { return kernel_table().gradient_f32; }
inline const GradientKernels& gradient_kernels(double) { return kernel_table().gradient_f64; }
inline const StepKernels<float>& step_kernels(float) { return kernel_table().step_f32; }
inline const StepKernels<double>& step_kernels(double) { return kernel_table().step_f64; }

// run(segments, how many); those without elements are left out.
template <class T, class Run>
int with_segments(T** grads, const Index* sizes, Index count, Run run) noexcept {
  return with_scratch<GradientSegment>(count, [&](GradientSegment* segments) {
    Index n = 0, end = 0;
    for (Index i = 0; i < count; ++i) {
      if (sizes[i]) segments[n++] = {grads[i], sizes[i], end += padded(sizes[i])};
    }
    run(segments, n);
  });
}

template <class T>
int sum_squares(double* sum, T** grads, const Index* sizes, Index count) noexcept {
  Index total = 0;
  for (Index i = 0; i < count; ++i) total += padded(sizes[i]);
  const Index blocks = (total + kBlockElements - 1) / kBlockElements;
  const Scratch<double> partial(blocks, std::nothrow);
  if (!partial) return kNoMemory;
  return with_segments(grads, sizes, count, [&](const GradientSegment* segments, Index n) {
    gradient_kernels(T()).sum_squares({segments, n, partial.get(), 0, 0});
    *sum = 0;
    for (Index b = 0; b < blocks; ++b) *sum += partial.get()[b];
  });
}

template <class T>
int scale(T** grads, const Index* sizes, Index count, double factor) noexcept {
  return with_segments(grads, sizes, count, [&](const GradientSegment* segments, Index n) {
    gradient_kernels(T()).scale({segments, n, nullptr, factor, 0});
  });
}

template <class T>
int clamp(T** grads, const Index* sizes, Index count, double low, double high) noexcept {
  return with_segments(grads, sizes, count, [&](const GradientSegment* segments, Index n) {
    gradient_kernels(T()).clamp({segments, n, nullptr, low, high});
  });
}

// The options of C as the rules ask for them.
class NamedOptions {
 public:
  explicit NamedOptions(const fastnn_options& options) : o_(options) {}

  double number(std::string_view name) const {
    const std::pair<std::string_view, double> numbers[] = {
        {"lr", o_.lr}, {"weight_decay", o_.weight_decay}, {"eps", o_.eps}, {"momentum", o_.momentum},
        {"dampening", o_.dampening}, {"momentum_decay", o_.momentum_decay}, {"lr_decay", o_.lr_decay}, {"rho", o_.rho},
        {"alpha", o_.alpha}};
    for (const auto& [known, value] : numbers) {
      if (known == name) return value;
    }
    return 0;
  }
  bool flag(std::string_view name) const {
    const std::pair<std::string_view, int> flags[] = {{"maximize", o_.maximize}, {"nesterov", o_.nesterov},
                                                      {"amsgrad", o_.amsgrad}, {"centered", o_.centered},
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

template <class Rule, class T>
int step_of(T** params, T** grads, T** state, const Index* sizes, Index count, Index t, double* memory,
            const fastnn_options* options) noexcept {
  fastnn_options room;
  const fastnn_options* const known = read_options(*options, room);
  if (!known) return kInvalid;
  const Rule rule{NamedOptions(*known)};
  const Moment moment = {t, *memory, rule.remember(*memory, t)};
  const auto constants = rule.template constants<T>(known->gradient_scale, moment);
  using Segment = StepSegment<std::remove_const_t<decltype(constants)>>;
  const Kinds kinds = rule.kinds();
  const int done = with_scratch<Segment>(count, [&](Segment* segments) {
    Index n = 0, end = 0;
    for (Index i = 0; i < count; ++i) {
      if (!grads[i] || !sizes[i]) continue;
      Segment& s = segments[n++] = {};
      s.theta = params[i], s.grad = grads[i], s.size = sizes[i], s.end = end += padded(sizes[i]), s.constants = &constants;
      for (std::size_t k = 0; k < kinds.size(); ++k) s.state[k] = state[Index(kinds[k]) * count + i];
    }
    if (n) Rule::kernel(step_kernels(T()))({segments, n, {0, 0, 0}, known->zero_grad != 0});
  });
  if (done == kDone) *memory = moment.after;
  return done;
}

#define FASTNN_RULE(name, Rule)                                                                                         \
  template <class T>                                                                                                    \
  int name(T** params, T** grads, T** state, const Index* sizes, Index count, Index step, double* memory,               \
           const fastnn_options* options) noexcept {                                                                    \
    return step_of<Rule, T>(params, grads, state, sizes, count, step, memory, options);                                 \
  }
FASTNN_RULE(sgd, SgdRule)
FASTNN_RULE(adam, AdamRule)
FASTNN_RULE(adamax, AdamaxRule)
FASTNN_RULE(nadam, NAdamRule)
FASTNN_RULE(radam, RAdamRule)
FASTNN_RULE(lion, LionRule)
FASTNN_RULE(adagrad, AdagradRule)
FASTNN_RULE(adadelta, AdadeltaRule)
FASTNN_RULE(rmsprop, RmspropRule)
#undef FASTNN_RULE

}  // namespace
}  // namespace fastnn
