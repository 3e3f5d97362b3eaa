#include <pybind11/stl.h>

#include <algorithm>
#include <memory>
#include <numeric>

#include "bind/arrays.h"
#include "bind/register.h"

namespace fastnn {
namespace {

Index product(const Shape& shape) { return std::accumulate(shape.begin(), shape.end(), Index(1), std::multiplies<>()); }

struct Statistics {
  py::array_t<double> mean, rstd;
  explicit Statistics(const Shape& shape) : mean(shape), rstd(shape) {}
};

py::tuple layer_norm(py::handle x_, const Shape& normalized, py::handle weight_, py::handle bias_, double eps,
                     py::handle out) {
  const Array x = check(x_, "x");
  const std::size_t lead = x.shape.size() - std::min(x.shape.size(), normalized.size());
  if (normalized.empty() || Shape(x.shape.begin() + std::ptrdiff_t(lead), x.shape.end()) != normalized) {
    throw py::value_error("x: got shape " + text(x.shape) + ", want one that ends in normalized_shape " + text(normalized));
  }
  const Array weight = check_optional(weight_, "weight", x, normalized);
  const Array bias = check_optional(bias_, "bias", x, normalized);
  check_not_negative(eps, "eps");
  const Result y = result(out, x, {&x}, {&weight, &bias});
  const Shape outer(x.shape.begin(), x.shape.begin() + std::ptrdiff_t(lead));
  Statistics s(outer);
  by_dtype(x, [&]<class T>(T) {
    run(kernels_for<T>().row_norm,
        RowNormArgs<T>{y.array.as<T>(), s.mean.mutable_data(), s.rstd.mutable_data(), x.as<T>(), weight.as<T>(),
                       bias.as<T>(), product(outer), product(normalized), eps});
  });
  return py::make_tuple(y.object, s.mean, s.rstd);
}

py::tuple layer_norm_backward(py::handle dy_, py::handle x_, py::handle weight_, py::handle mean_, py::handle rstd_,
                              py::handle out) {
  const Array x = check(x_, "x");
  const Array dy = check(dy_, "dy", x, x.shape);
  const Shape lead = check(mean_, "mean").shape;
  if (lead.size() >= x.shape.size()) {
    throw py::value_error("mean: got shape " + text(lead) + ", want the leading axes of x's shape " + text(x.shape));
  }
  const auto split = x.shape.begin() + std::ptrdiff_t(lead.size());
  const Shape outer(x.shape.begin(), split), normalized(split, x.shape.end());
  const Array mean = check_double(mean_, "mean", outer), rstd = check_double(rstd_, "rstd", outer);
  const Array weight = check_optional(weight_, "weight", x, normalized);
  const Result dx = result(out, x, {&dy, &x}, {&weight, &mean, &rstd});
  py::array dweight = new_array(normalized, x.is_double()), dbias = new_array(normalized, x.is_double());
  const Index rows = product(outer), columns = product(normalized);
  by_dtype(x, [&]<class T>(T) {
    const std::unique_ptr<T[]> partial(new T[std::size_t(2 * columns * row_norm_blocks(rows))]);
    run(kernels_for<T>().row_norm_backward,
        RowNormBackwardArgs<T>{dx.array.as<T>(), static_cast<T*>(dweight.mutable_data()),
                               static_cast<T*>(dbias.mutable_data()), partial.get(), dy.as<T>(), x.as<T>(),
                               weight.as<T>(), mean.as<double>(), rstd.as<double>(), rows, columns});
  });
  return py::make_tuple(dx.object, dweight, dbias);
}

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

py::tuple batch_norm(py::handle x_, py::handle running_mean_, py::handle running_var_, py::handle weight_,
                     py::handle bias_, bool training, double momentum, double eps, py::handle out) {
  const Array x = check(x_, "x");
  const Channels c(x);
  const Access access = training ? Access::write : Access::read;
  const Array running_mean = check_optional(running_mean_, "running_mean", x, c.shape(), access);
  const Array running_var = check_optional(running_var_, "running_var", x, c.shape(), access);
  if (running_mean.given() != running_var.given() || (!training && !running_mean.given())) {
    throw py::value_error("running_mean, running_var: got " + std::string(running_mean.given() ? "the first" : "no mean") +
                          ", want both, or in training neither");
  }
  const Array weight = check_optional(weight_, "weight", x, c.shape());
  const Array bias = check_optional(bias_, "bias", x, c.shape());
  check_range(momentum, "momentum", 0, 1);
  check_not_negative(eps, "eps");
  if (training && c.outer * c.inner == 1) {
    throw py::value_error("x: got one value per channel, shape " + text(x.shape) +
                          ", want two at least in training, where a variance is taken; use a larger batch or eval mode");
  }
  if (training && running_mean.given()) {
    check_apart(running_mean, running_var);
    for (const Array* other : {&x, &weight, &bias}) {
      check_apart(running_mean, *other);
      check_apart(running_var, *other);
    }
  }
  const Result y = result(out, x, {&x}, {&running_mean, &running_var, &weight, &bias});
  Statistics s(c.shape());
  if (training && x.size == 0) {  // no batch, no statistics
    std::fill_n(s.mean.mutable_data(), c.channels, 0.0);
    std::fill_n(s.rstd.mutable_data(), c.channels, 0.0);
    return py::make_tuple(y.object, s.mean, s.rstd);
  }
  by_dtype(x, [&]<class T>(T) {
    run(kernels_for<T>().channel_norm,
        ChannelNormArgs<T>{y.array.as<T>(), s.mean.mutable_data(), s.rstd.mutable_data(), running_mean.as<T>(),
                           running_var.as<T>(), x.as<T>(), weight.as<T>(), bias.as<T>(), c.outer, c.channels, c.inner,
                           momentum, eps, training});
  });
  return py::make_tuple(y.object, s.mean, s.rstd);
}

py::tuple batch_norm_backward(py::handle dy_, py::handle x_, py::handle weight_, py::handle mean_, py::handle rstd_,
                              bool training, py::handle out) {
  const Array x = check(x_, "x");
  const Array dy = check(dy_, "dy", x, x.shape);
  const Channels c(x);
  const Array weight = check_optional(weight_, "weight", x, c.shape());
  const Array mean = check_double(mean_, "mean", c.shape()), rstd = check_double(rstd_, "rstd", c.shape());
  const Result dx = result(out, x, {&dy, &x}, {&weight, &mean, &rstd});
  py::array dweight = new_array(c.shape(), x.is_double()), dbias = new_array(c.shape(), x.is_double());
  by_dtype(x, [&]<class T>(T) {
    run(kernels_for<T>().channel_norm_backward,
        ChannelNormBackwardArgs<T>{dx.array.as<T>(), static_cast<T*>(dweight.mutable_data()),
                                   static_cast<T*>(dbias.mutable_data()), dy.as<T>(), x.as<T>(), weight.as<T>(),
                                   mean.as<double>(), rstd.as<double>(), c.outer, c.channels, c.inner, training});
  });
  return py::make_tuple(dx.object, dweight, dbias);
}

}  // namespace

void register_norm(py::module_& m) {
  using namespace py::literals;
  m.def("layer_norm", &layer_norm, "x"_a, "normalized_shape"_a, "weight"_a, "bias"_a, "eps"_a, "out"_a);
  m.def("layer_norm_backward", &layer_norm_backward, "dy"_a, "x"_a, "weight"_a, "mean"_a, "rstd"_a, "out"_a);
  m.def("batch_norm", &batch_norm, "x"_a, "running_mean"_a, "running_var"_a, "weight"_a, "bias"_a, "training"_a,
        "momentum"_a, "eps"_a, "out"_a);
  m.def("batch_norm_backward", &batch_norm_backward, "dy"_a, "x"_a, "weight"_a, "mean"_a, "rstd"_a, "training"_a,
        "out"_a);
}

}  // namespace fastnn
