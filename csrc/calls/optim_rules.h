// Computes the constants of an optimizer step from a parameter group, in double, and lists the kinds of state that the
// step needs, in the order in which it takes them. Some rules remember one number per parameter, which is 1 at first. A
// group is anything with number(name), flag(name) and beta(i).
#pragma once

#include <cmath>

#include "kernels/args/common.h"
#include "steps/adam.h"
#include "steps/optim.h"

namespace fastnn {

// The kinds of an optimizer's state that a step needs.
struct Kinds {
  int count, at[3];
};

// A step of a parameter: its number, counted from 1, and the number that the rule remembers, before and after the step.
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
    return {.gradient_scale = T(maximize ? -scale : scale),
            .weight_decay = T(decoupled ? 0 : weight_decay),
            .keep = T(decoupled ? 1 - lr * weight_decay : 1)};
  }
  double remember(double before, Index) const { return before; }
};

struct SgdRule : Rule {
  double momentum, dampening;
  bool nesterov;

  template <class Group>
  explicit SgdRule(const Group& g)
      : Rule(g), momentum(g.number("momentum")), dampening(g.number("dampening")), nesterov(g.flag("nesterov")) {}

  Kinds kinds() const { return {momentum != 0 ? 1 : 0, {0}}; }
  // The number is 1 until the velocity has been initialised.
  double remember(double before, Index) const { return momentum != 0 ? 0 : before; }
  template <class T>
  SgdConstants<T> constants(double scale, const Moment& m) const {
    return {.decay = decay<T>(scale), .lr = T(lr), .momentum = T(momentum), .gain = T(m.before != 0 ? 1 : 1 - dampening),
            .has_velocity = momentum != 0, .nesterov = nesterov};
  }
};

struct AveragingRule : Rule {
  double beta1, beta2;

  template <class Group>
  explicit AveragingRule(const Group& g, bool decoupled_) : Rule(g, decoupled_), beta1(g.beta(0)), beta2(g.beta(1)) {}

  Kinds kinds() const { return {2, {0, 1}}; }
  template <class T>
  Averages<T> averages() const {
    return {.beta1 = T(beta1), .beta2 = T(beta2), .one_minus_beta1 = T(1 - beta1), .one_minus_beta2 = T(1 - beta2)};
  }
  double correction1(Index t) const { return 1 - std::pow(beta1, double(t)); }
  double correction2(Index t) const { return 1 - std::pow(beta2, double(t)); }
};

struct AdamRule : AveragingRule {
  double eps;
  bool amsgrad;

  template <class Group>
  explicit AdamRule(const Group& g)
      : AveragingRule(g, g.flag("decoupled_weight_decay")), eps(g.number("eps")), amsgrad(g.flag("amsgrad")) {}

  Kinds kinds() const { return {amsgrad ? 3 : 2, {0, 1, 2}}; }
  template <class T>
  AdamConstants<T> constants(double scale, const Moment& m) const {
    return {.decay = decay<T>(scale), .averages = averages<T>(), .step_size = T(lr / correction1(m.t)),
            .inverse_root = T(1 / std::sqrt(correction2(m.t))), .eps = T(eps), .amsgrad = amsgrad};
  }
};

struct AdamaxRule : AveragingRule {
  double eps;

  template <class Group>
  explicit AdamaxRule(const Group& g) : AveragingRule(g, false), eps(g.number("eps")) {}

  template <class T>
  AdamaxConstants<T> constants(double scale, const Moment& m) const {
    return {.decay = decay<T>(scale), .averages = averages<T>(), .step_size = T(lr / correction1(m.t)), .eps = T(eps)};
  }
};

struct NAdamRule : AveragingRule {
  double eps, momentum_decay;

  template <class Group>
  explicit NAdamRule(const Group& g)
      : AveragingRule(g, g.flag("decoupled_weight_decay")), eps(g.number("eps")), momentum_decay(g.number("momentum_decay")) {}

  double mu(Index t) const { return beta1 * (1 - 0.5 * std::pow(0.96, double(t) * momentum_decay)); }
  // The product mu_1 ... mu_t.
  double remember(double before, Index t) const { return before * mu(t); }
  template <class T>
  NAdamConstants<T> constants(double scale, const Moment& m) const {
    const double next = mu(m.t + 1);
    return {.decay = decay<T>(scale), .averages = averages<T>(), .gradient_step = T(lr * (1 - mu(m.t)) / (1 - m.after)),
            .momentum_step = T(lr * next / (1 - m.after * next)), .inverse_root = T(1 / std::sqrt(correction2(m.t))),
            .eps = T(eps)};
  }
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
    return {.decay = decay<T>(scale), .averages = averages<T>(), .step_size = T(lr / correction1(m.t) * r), .eps = T(eps),
            .rectified = rectified};
  }
};

struct LionRule : AveragingRule {
  template <class Group>
  explicit LionRule(const Group& g) : AveragingRule(g, true) {}

  Kinds kinds() const { return {1, {0}}; }
  template <class T>
  LionConstants<T> constants(double scale, const Moment&) const { return {.decay = decay<T>(scale), .averages = averages<T>(), .lr = T(lr)}; }
};

struct AdagradRule : Rule {
  double lr_decay, eps;

  template <class Group>
  explicit AdagradRule(const Group& g) : Rule(g), lr_decay(g.number("lr_decay")), eps(g.number("eps")) {}

  Kinds kinds() const { return {1, {0}}; }
  template <class T>
  AdagradConstants<T> constants(double scale, const Moment& m) const {
    return {.decay = decay<T>(scale), .step_size = T(lr / (1 + double(m.t - 1) * lr_decay)), .eps = T(eps)};
  }
};

struct AdadeltaRule : Rule {
  double rho, eps;

  template <class Group>
  explicit AdadeltaRule(const Group& g) : Rule(g), rho(g.number("rho")), eps(g.number("eps")) {}

  Kinds kinds() const { return {2, {0, 1}}; }
  template <class T>
  AdadeltaConstants<T> constants(double scale, const Moment&) const {
    return {.decay = decay<T>(scale), .lr = T(lr), .rho = T(rho), .one_minus_rho = T(1 - rho), .eps = T(eps)};
  }
};

struct RmspropRule : Rule {
  double alpha, eps, momentum;
  bool centered;

  template <class Group>
  explicit RmspropRule(const Group& g)
      : Rule(g), alpha(g.number("alpha")), eps(g.number("eps")), momentum(g.number("momentum")), centered(g.flag("centered")) {}

  Kinds kinds() const {
    Kinds kinds = {1, {0}};
    if (momentum != 0) kinds.at[kinds.count++] = 1;
    if (centered) kinds.at[kinds.count++] = 2;
    return kinds;
  }
  template <class T>
  RmspropConstants<T> constants(double scale, const Moment&) const {
    return {.decay = decay<T>(scale), .lr = T(lr), .alpha = T(alpha), .one_minus_alpha = T(1 - alpha), .eps = T(eps),
            .momentum = T(momentum), .has_momentum = momentum != 0, .centered = centered};
  }
};

}  // namespace fastnn
