// What each optimizer makes of a parameter group: its constants for a parameter's t-th step, computed in double, and the
// kinds of state that its step takes, in the step's order. Some rules remember one number per parameter, 1 at first. Options
// come from whatever has number(name), flag(name) and beta(i).
#pragma once

#include <cmath>
#include <vector>

#include "kernels/table.h"

namespace fastnn {

using Kinds = std::vector<std::size_t>;

// A parameter's step: its number, from 1, and what the rule remembered before and remembers from now on.
struct Moment {
  Index t;
  double before, after;
};

struct Rule {
  double lr, weight_decay;
  bool maximize, decoupled;

  template <class Group>
  explicit Rule(const Group& g, bool decoupled_ = false)
      : lr(g.number("lr")), weight_decay(g.number("weight_decay")), maximize(g.flag("maximize")), decoupled(decoupled_) {}

  template <class T>
  Decay<T> decay(double scale) const {
    return {T(maximize ? -scale : scale), T(decoupled ? 0 : weight_decay), T(decoupled ? 1 - lr * weight_decay : 1)};
  }
  double remember(double before, Index) const { return before; }
};

struct SgdRule : Rule {
  double momentum, dampening;
  bool nesterov;

  template <class Group>
  explicit SgdRule(const Group& g)
      : Rule(g), momentum(g.number("momentum")), dampening(g.number("dampening")), nesterov(g.flag("nesterov")) {}

  Kinds kinds() const { return momentum != 0 ? Kinds{0} : Kinds{}; }
  // 1 until the velocity has begun.
  double remember(double before, Index) const { return momentum != 0 ? 0 : before; }
  template <class T>
  SgdConstants<T> constants(double scale, const Moment& m) const {
    return {decay<T>(scale), T(lr), T(momentum), T(m.before != 0 ? 1 : 1 - dampening), momentum != 0, nesterov};
  }
  template <class T>
  static auto kernel(const StepKernels<T>& k) { return k.sgd; }
};

struct AveragingRule : Rule {
  double beta1, beta2;

  template <class Group>
  explicit AveragingRule(const Group& g, bool decoupled_) : Rule(g, decoupled_), beta1(g.beta(0)), beta2(g.beta(1)) {}

  Kinds kinds() const { return {0, 1}; }
  template <class T>
  Averages<T> averages() const { return {T(beta1), T(beta2), T(1 - beta1), T(1 - beta2)}; }
  double correction1(Index t) const { return 1 - std::pow(beta1, double(t)); }
  double correction2(Index t) const { return 1 - std::pow(beta2, double(t)); }
};

struct AdamRule : AveragingRule {
  double eps;
  bool amsgrad;

  template <class Group>
  explicit AdamRule(const Group& g)
      : AveragingRule(g, g.flag("decoupled_weight_decay")), eps(g.number("eps")), amsgrad(g.flag("amsgrad")) {}

  Kinds kinds() const { return amsgrad ? Kinds{0, 1, 2} : Kinds{0, 1}; }
  template <class T>
  AdamConstants<T> constants(double scale, const Moment& m) const {
    return {decay<T>(scale), averages<T>(), T(lr / correction1(m.t)), T(1 / std::sqrt(correction2(m.t))), T(eps), amsgrad};
  }
  template <class T>
  static auto kernel(const StepKernels<T>& k) { return k.adam; }
};

struct AdamaxRule : AveragingRule {
  double eps;

  template <class Group>
  explicit AdamaxRule(const Group& g) : AveragingRule(g, false), eps(g.number("eps")) {}

  template <class T>
  AdamaxConstants<T> constants(double scale, const Moment& m) const {
    return {decay<T>(scale), averages<T>(), T(lr / correction1(m.t)), T(eps)};
  }
  template <class T>
  static auto kernel(const StepKernels<T>& k) { return k.adamax; }
};

struct NAdamRule : AveragingRule {
  double eps, momentum_decay;

  template <class Group>
  explicit NAdamRule(const Group& g)
      : AveragingRule(g, g.flag("decoupled_weight_decay")), eps(g.number("eps")), momentum_decay(g.number("momentum_decay")) {}

  double mu(Index t) const { return beta1 * (1 - 0.5 * std::pow(0.96, double(t) * momentum_decay)); }
  // mu_1 ... mu_t
  double remember(double before, Index t) const { return before * mu(t); }
  template <class T>
  NAdamConstants<T> constants(double scale, const Moment& m) const {
    const double next = mu(m.t + 1);
    return {decay<T>(scale), averages<T>(), T(lr * (1 - mu(m.t)) / (1 - m.after)), T(lr * next / (1 - m.after * next)),
            T(1 / std::sqrt(correction2(m.t))), T(eps)};
  }
  template <class T>
  static auto kernel(const StepKernels<T>& k) { return k.nadam; }
};

struct RAdamRule : AveragingRule {
  double eps;

  template <class Group>
  explicit RAdamRule(const Group& g) : AveragingRule(g, g.flag("decoupled_weight_decay")), eps(g.number("eps")) {}

  template <class T>
  RAdamConstants<T> constants(double scale, const Moment& m) const {
    const double last = 2 / (1 - beta2) - 1;
    const double rho = last - 2 * double(m.t) * std::pow(beta2, double(m.t)) / correction2(m.t);
    const bool rectified = rho > 5;
    const double r = rectified ? std::sqrt(correction2(m.t) * (rho - 4) * (rho - 2) * last / ((last - 4) * (last - 2) * rho)) : 1;
    return {decay<T>(scale), averages<T>(), T(lr / correction1(m.t) * r), T(eps), rectified};
  }
  template <class T>
  static auto kernel(const StepKernels<T>& k) { return k.radam; }
};

struct LionRule : AveragingRule {
  template <class Group>
  explicit LionRule(const Group& g) : AveragingRule(g, true) {}

  Kinds kinds() const { return {0}; }
  template <class T>
  LionConstants<T> constants(double scale, const Moment&) const { return {decay<T>(scale), averages<T>(), T(lr)}; }
  template <class T>
  static auto kernel(const StepKernels<T>& k) { return k.lion; }
};

struct AdagradRule : Rule {
  double lr_decay, eps;

  template <class Group>
  explicit AdagradRule(const Group& g) : Rule(g), lr_decay(g.number("lr_decay")), eps(g.number("eps")) {}

  Kinds kinds() const { return {0}; }
  template <class T>
  AdagradConstants<T> constants(double scale, const Moment& m) const {
    return {decay<T>(scale), T(lr / (1 + double(m.t - 1) * lr_decay)), T(eps)};
  }
  template <class T>
  static auto kernel(const StepKernels<T>& k) { return k.adagrad; }
};

struct AdadeltaRule : Rule {
  double rho, eps;

  template <class Group>
  explicit AdadeltaRule(const Group& g) : Rule(g), rho(g.number("rho")), eps(g.number("eps")) {}

  Kinds kinds() const { return {0, 1}; }
  template <class T>
  AdadeltaConstants<T> constants(double scale, const Moment&) const {
    return {decay<T>(scale), T(lr), T(rho), T(1 - rho), T(eps)};
  }
  template <class T>
  static auto kernel(const StepKernels<T>& k) { return k.adadelta; }
};

struct RmspropRule : Rule {
  double alpha, eps, momentum;
  bool centered;

  template <class Group>
  explicit RmspropRule(const Group& g)
      : Rule(g), alpha(g.number("alpha")), eps(g.number("eps")), momentum(g.number("momentum")), centered(g.flag("centered")) {}

  Kinds kinds() const {
    Kinds kinds = {0};
    if (momentum != 0) kinds.push_back(1);
    if (centered) kinds.push_back(2);
    return kinds;
  }
  template <class T>
  RmspropConstants<T> constants(double scale, const Moment&) const {
    return {decay<T>(scale), T(lr), T(alpha), T(1 - alpha), T(eps), T(momentum), momentum != 0, centered};
  }
  template <class T>
  static auto kernel(const StepKernels<T>& k) { return k.rmsprop; }
};

}  // namespace fastnn
