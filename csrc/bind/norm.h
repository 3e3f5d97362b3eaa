// Argument checks and results that all norms share.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <numeric>

#include "bind/arrays.h"

namespace fastnn {

inline Index product(const Shape& shape) { return std::accumulate(shape.begin(), shape.end(), Index(1), std::multiplies<>()); }

struct Statistics {
  py::array_t<double> mean, rstd;
  explicit Statistics(const Shape& shape) : mean(shape), rstd(shape) {}

  // An empty input has no statistics; zeros stand for them.
  void set_zero() {
    std::fill_n(mean.mutable_data(), mean.size(), 0.0);
    std::fill_n(rstd.mutable_data(), rstd.size(), 0.0);
  }
};

// The sizes (outer, channels, inner) of (N, C, ...), or of (N, ..., C) if channels come last.
struct Channels {
  Index outer, channels, inner;

  explicit Channels(const Array& x, bool last = false) {
    if (x.shape.size() < 2) {
      throw py::value_error("x: got shape " + text(x.shape) + ", want (N, C) or " + (last ? "(N, ..., C)" : "(N, C, ...)"));
    }
    const auto channel = last ? x.shape.end() - 1 : x.shape.begin() + 1;
    outer = product(Shape(x.shape.begin(), channel));
    channels = *channel;
    inner = product(Shape(channel + 1, x.shape.end()));
  }
  Shape shape() const { return {channels}; }
};

// Running statistics. Both are required, unless the input's own statistics are used: then both or neither, and the
// kernel updates them.
struct Running {
  Array mean, var;

  Running(py::handle mean_, py::handle var_, const Array& x, const Shape& shape, bool own) {
    const Access access = own ? Access::write : Access::read;
    mean = check_optional(mean_, "running_mean", x, shape, access);
    var = check_optional(var_, "running_var", x, shape, access);
    if (mean.given() != var.given() || (!own && !mean.given())) {
      throw py::value_error("running_mean, running_var: got " +
                            std::string(mean.given() ? "only running_mean" : "no running_mean") +
                            ", want both, or neither in training");
    }
  }

  void check_written_apart(std::initializer_list<const Array*> inputs) const {
    check_apart(mean, var);
    for (const Array* input : inputs) {
      check_apart(mean, *input);
      check_apart(var, *input);
    }
  }
};

}  // namespace fastnn
