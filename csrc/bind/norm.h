// What the norms' borders share.
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

  // Where there is no element there is nothing to take statistics of.
  void set_zero() {
    std::fill_n(mean.mutable_data(), mean.size(), 0.0);
    std::fill_n(rstd.mutable_data(), rstd.size(), 0.0);
  }
};

// (N, C, ...) as outer, channels, inner.
struct Channels {
  Index outer, channels, inner;

  explicit Channels(const Array& x) {
    if (x.shape.size() < 2) throw py::value_error("x: got shape " + text(x.shape) + ", want (N, C) or (N, C, ...)");
    outer = x.shape[0];
    channels = x.shape[1];
    inner = product(Shape(x.shape.begin() + 2, x.shape.end()));
  }
  Shape shape() const { return {channels}; }
};

// Running statistics: both or, where the input's own are used, neither; then they are written if given.
struct Running {
  Array mean, var;

  Running(py::handle mean_, py::handle var_, const Array& x, const Shape& shape, bool own) {
    const Access access = own ? Access::write : Access::read;
    mean = check_optional(mean_, "running_mean", x, shape, access);
    var = check_optional(var_, "running_var", x, shape, access);
    if (mean.given() != var.given() || (!own && !mean.given())) {
      throw py::value_error("running_mean, running_var: got " + std::string(mean.given() ? "the first" : "no mean") +
                            ", want both, or in training neither");
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
