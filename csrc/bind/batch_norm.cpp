#include "bind/norm.h"
#include "bind/register.h"
#include "kernels/args/batch_norm.h"
#include "runtime/memory.h"

namespace fastnn {
namespace {

// Checks the activation fused after the norm; only relu is supported so far.
bool check_activation(py::handle activation) {
  if (activation.is_none()) return false;
  if (py::isinstance<py::str>(activation) && std::string(py::str(activation)) == "relu") return true;
  throw py::value_error("activation: got " + std::string(py::repr(activation)) + ", want None or 'relu'");
}

py::tuple batch_norm(py::handle x_, py::handle running_mean_, py::handle running_var_, py::handle weight_,
                     py::handle bias_, bool training, double momentum, double eps, py::handle residual_,
                     py::handle activation, bool channels_last, bool unbiased, py::handle out) {
  const Array x = check(x_, "x");
  const Channels c(x, channels_last);
  const Running running(running_mean_, running_var_, x, c.shape(), training);
  const Array weight = check_optional(weight_, "weight", x, c.shape());
  const Array bias = check_optional(bias_, "bias", x, c.shape());
  const Array residual = check_optional(residual_, "residual", x, x.shape);
  const bool relu = check_activation(activation);
  check_range(momentum, "momentum", 0, 1);
  check_not_negative(eps, "eps");
  if (training && c.outer * c.inner == 1) {
    throw py::value_error(
        "x: got one value per channel, shape " + text(x.shape) +
        ", want at least two in training, for a variance; use a larger batch or eval mode");
  }
  if (training) running.check_written_apart({&x, &weight, &bias, &residual});
  const Result y = result(out, x, {&x, &residual}, {&running.mean, &running.var, &weight, &bias});
  Statistics s(c.shape());
  if (training && x.size == 0) {  // an empty batch has no statistics
    s.set_zero();
    return py::make_tuple(y.object, s.mean, s.rstd);
  }
  const Scratch<double> partial(batch_norm_partial(c.outer, c.channels, c.inner));
  by_dtype(x, [&]<class T>(T) {
    run(kernels_for<T>().batch_norm, BatchNormArgs<T>{.y = y.array.as<T>(), .mean = s.mean.mutable_data(),
                                                      .rstd = s.rstd.mutable_data(),
                                                      .running_mean = running.mean.as<T>(),
                                                      .running_var = running.var.as<T>(), .partial = partial.get(),
                                                      .x = x.as<T>(), .weight = weight.as<T>(), .bias = bias.as<T>(),
                                                      .residual = residual.as<T>(), .outer = c.outer,
                                                      .channels = c.channels, .inner = c.inner, .momentum = momentum,
                                                      .eps = eps, .training = training, .unbiased = unbiased,
                                                      .relu = relu});
  });
  return py::make_tuple(y.object, s.mean, s.rstd);
}

py::tuple batch_norm_backward(py::handle dy_, py::handle x_, py::handle weight_, py::handle mean_, py::handle rstd_,
                              bool training, py::handle y_, bool residual, bool channels_last, py::handle out) {
  const Array x = check(x_, "x");
  const Array dy = check(dy_, "dy", x, x.shape);
  const Array y = check_optional(y_, "y", x, x.shape);
  const Channels c(x, channels_last);
  const Array weight = check_optional(weight_, "weight", x, c.shape());
  const Array mean = check_double(mean_, "mean", c.shape()), rstd = check_double(rstd_, "rstd", c.shape());
  const Result dx = result(out, x, {&dy, &x, &y}, {&weight, &mean, &rstd});
  py::array dweight = new_array(c.shape(), x.is_double()), dbias = new_array(c.shape(), x.is_double());
  const Result dresidual = residual ? result(py::none(), x, {}) : Result{py::none(), {}};
  const Scratch<double> partial(batch_norm_partial(c.outer, c.channels, c.inner));
  by_dtype(x, [&]<class T>(T) {
    run(kernels_for<T>().batch_norm_backward,
        BatchNormBackwardArgs<T>{.dx = dx.array.as<T>(), .dresidual = dresidual.array.as<T>(),
                                 .dweight = static_cast<T*>(dweight.mutable_data()),
                                 .dbias = static_cast<T*>(dbias.mutable_data()), .partial = partial.get(),
                                 .dy = dy.as<T>(), .x = x.as<T>(), .y = y.as<T>(), .weight = weight.as<T>(),
                                 .mean = mean.as<double>(), .rstd = rstd.as<double>(), .outer = c.outer,
                                 .channels = c.channels, .inner = c.inner, .training = training});
  });
  return py::make_tuple(dx.object, dweight, dbias, dresidual.object);
}

}  // namespace

FASTNN_BINDINGS(batch_norm, m) {
  using namespace py::literals;
  m.def("batch_norm", &batch_norm, "x"_a, "running_mean"_a, "running_var"_a, "weight"_a, "bias"_a, "training"_a,
        "momentum"_a, "eps"_a, "residual"_a, "activation"_a, "channels_last"_a, "unbiased"_a, "out"_a);
  m.def("batch_norm_backward", &batch_norm_backward, "dy"_a, "x"_a, "weight"_a, "mean"_a, "rstd"_a, "training"_a, "y"_a,
        "residual"_a, "channels_last"_a, "out"_a);
}

}  // namespace fastnn
