// The arguments of a bias, an activation and dropout in one pass.
#pragma once

#include <optional>

#include "bind/activation_kind.h"
#include "bind/norm.h"
#include "calls/dropout.h"

namespace fastnn {

constexpr double kSoftplusThreshold = 20;

// The arguments of both forward and backward: x (..., C), the bias, the activation, the dropout mask.
struct BiasActivationCall {
  const ActivationKind& kind;
  Array x, bias;
  Index rows, columns;
  double option, p;
  Philox random;

  BiasActivationCall(py::handle x_, py::handle bias_, const std::string& activation, std::optional<double> alpha,
                     double p_, const Philox& random_)
      : kind(activation_kind(activation)),
        x(check(x_, "x")),
        option(alpha.value_or(kind.initial)),
        p(p_),
        random(random_) {
    if (x.shape.empty()) throw py::value_error("x: got shape (), want (..., C)");
    rows = product(Shape(x.shape.begin(), x.shape.end() - 1));
    columns = x.shape.back();
    bias = check_optional(bias_, "bias", x, {columns});
    if (alpha && !kind.option) {
      throw py::value_error("alpha: got " + text(*alpha) + ", want None for " + activation + ", which has no option");
    }
    check_options(kind, "alpha", option, kSoftplusThreshold, x);
    check_range(p, "p", 0, 1);
  }

  template <class T>
  BiasActivationArgs<T> args(const Array& y) const {
    return {.y = y.as<T>(), .x = x.as<T>(), .bias = bias.as<T>(), .rows = rows, .columns = columns, .kind = kind.kind,
            .options = {T(option), T(kSoftplusThreshold)}, .masked = p > 0, .random = random,
            .threshold = drop_threshold(p), .scale = T(keep_scale(p)), .dy = nullptr, .dbias = nullptr,
            .partial = nullptr};
  }
};

}  // namespace fastnn
