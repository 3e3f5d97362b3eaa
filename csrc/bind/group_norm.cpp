#include <cstring>

#include "bind/norm.h"
#include "bind/register.h"
#include "kernels/args/group_norm.h"
#include "runtime/memory.h"

namespace fastnn {
namespace {

// (N, C, ...), with C divided into groups.
struct Groups : Channels {
  Index groups;

  Groups(const Array& x, py::handle num_groups)
      : Channels(x), groups(check_integer(num_groups, "num_groups", "it divides the channels")) {
    if (groups >= 1 && channels % groups == 0) return;
    throw py::value_error("num_groups: got " + std::to_string(groups) + ", want a positive divisor of the " +
                          std::to_string(channels) + " channels of x");
  }
  // Each channel is a group.
  explicit Groups(const Array& x) : Channels(x), groups(channels) {}

  Shape statistics() const { return {outer, groups}; }
};

struct Affine {
  Array weight, bias;
  Affine(py::handle weight_, py::handle bias_, const Array& x, const Groups& g)
      : weight(check_optional(weight_, "weight", x, g.shape())), bias(check_optional(bias_, "bias", x, g.shape())) {}
};

// The running statistics are null, or have one number for each group.
template <class T>
void forward(const Array& y, Statistics& s, T* running_mean, T* running_var, const Array& x, const Affine& affine,
             const Groups& g, double momentum, double eps) {
  const Scratch<double> variance(running_mean ? g.outer * g.groups : 0);
  run(kernels_for<T>().group_norm, GroupNormArgs<T>{.y = y.as<T>(), .mean = s.mean.mutable_data(),
                                                    .rstd = s.rstd.mutable_data(),
                                                    .variance = running_mean ? variance.get() : nullptr,
                                                    .running_mean = running_mean, .running_var = running_var,
                                                    .x = x.as<T>(), .weight = affine.weight.as<T>(),
                                                    .bias = affine.bias.as<T>(), .outer = g.outer,
                                                    .channels = g.channels, .groups = g.groups, .inner = g.inner,
                                                    .momentum = momentum, .eps = eps});
}

py::tuple backward(const Array& x, py::handle dy_, py::handle weight_, py::handle mean_, py::handle rstd_,
                   const Groups& g, py::handle out) {
  const Array dy = check(dy_, "dy", x, x.shape);
  const Array weight = check_optional(weight_, "weight", x, g.shape());
  const Array mean = check_double(mean_, "mean", g.statistics()), rstd = check_double(rstd_, "rstd", g.statistics());
  const Result dx = result(out, x, {&dy, &x}, {&weight, &mean, &rstd});
  py::array dweight = new_array(g.shape(), x.is_double()), dbias = new_array(g.shape(), x.is_double());
  if (x.size == 0) {
    for (py::array* gradient : {&dweight, &dbias})
      std::memset(gradient->mutable_data(), 0, std::size_t(gradient->nbytes()));
    return py::make_tuple(dx.object, dweight, dbias);
  }
  const Scratch<double> partial(2 * g.channels * group_norm_parts(g.outer, g.inner));
  by_dtype(x, [&]<class T>(T) {
    run(kernels_for<T>().group_norm_backward,
        GroupNormBackwardArgs<T>{.dx = dx.array.as<T>(), .dweight = static_cast<T*>(dweight.mutable_data()),
                                 .dbias = static_cast<T*>(dbias.mutable_data()), .partial = partial.get(),
                                 .dy = dy.as<T>(), .x = x.as<T>(), .weight = weight.as<T>(), .mean = mean.as<double>(),
                                 .rstd = rstd.as<double>(), .outer = g.outer, .channels = g.channels,
                                 .groups = g.groups, .inner = g.inner});
  });
  return py::make_tuple(dx.object, dweight, dbias);
}

py::tuple group_norm(py::handle x_, py::handle num_groups, py::handle weight_, py::handle bias_, double eps,
                     py::handle out) {
  const Array x = check(x_, "x");
  const Groups g(x, num_groups);
  const Affine affine(weight_, bias_, x, g);
  check_not_negative(eps, "eps");
  const Result y = result(out, x, {&x}, {&affine.weight, &affine.bias});
  Statistics s(g.statistics());
  if (x.size == 0) {
    s.set_zero();
  } else {
    by_dtype(x, [&]<class T>(T) { forward<T>(y.array, s, nullptr, nullptr, x, affine, g, 0, eps); });
  }
  return py::make_tuple(y.object, s.mean, s.rstd);
}

py::tuple group_norm_backward(py::handle dy, py::handle x_, py::handle num_groups, py::handle weight, py::handle mean,
                              py::handle rstd, py::handle out) {
  const Array x = check(x_, "x");
  return backward(x, dy, weight, mean, rstd, Groups(x, num_groups), out);
}

// Normalises with the input's own statistics. Instance norm with running statistics is batch norm in evaluation.
py::tuple instance_norm(py::handle x_, py::handle running_mean, py::handle running_var, py::handle weight_,
                        py::handle bias_, double momentum, double eps, py::handle out) {
  const Array x = check(x_, "x");
  const Groups g(x);
  const Running running(running_mean, running_var, x, g.shape(), true);
  const Affine affine(weight_, bias_, x, g);
  check_range(momentum, "momentum", 0, 1);
  check_not_negative(eps, "eps");
  if (g.inner == 1) {
    throw py::value_error("x: got one value per instance, shape " + text(x.shape) +
                          ", want at least two, for a variance; use larger inputs or use_input_stats=False");
  }
  running.check_written_apart({&x, &affine.weight, &affine.bias});
  const Result y = result(out, x, {&x}, {&running.mean, &running.var, &affine.weight, &affine.bias});
  Statistics s(g.statistics());
  if (x.size == 0) {
    s.set_zero();
  } else {
    by_dtype(x, [&]<class T>(T) {
      forward<T>(y.array, s, running.mean.as<T>(), running.var.as<T>(), x, affine, g, momentum, eps);
    });
  }
  return py::make_tuple(y.object, s.mean, s.rstd);
}

py::tuple instance_norm_backward(py::handle dy, py::handle x_, py::handle weight, py::handle mean, py::handle rstd,
                                 py::handle out) {
  const Array x = check(x_, "x");
  return backward(x, dy, weight, mean, rstd, Groups(x), out);
}

}  // namespace

FASTNN_BINDINGS(group_norm, m) {
  using namespace py::literals;
  m.def("group_norm", &group_norm, "x"_a, "num_groups"_a, "weight"_a, "bias"_a, "eps"_a, "out"_a);
  m.def("group_norm_backward", &group_norm_backward, "dy"_a, "x"_a, "num_groups"_a, "weight"_a, "mean"_a, "rstd"_a,
        "out"_a);
  m.def("instance_norm", &instance_norm, "x"_a, "running_mean"_a, "running_var"_a, "weight"_a, "bias"_a, "momentum"_a,
        "eps"_a, "out"_a);
  m.def("instance_norm_backward", &instance_norm_backward, "dy"_a, "x"_a, "weight"_a, "mean"_a, "rstd"_a, "out"_a);
}

}  // namespace fastnn
