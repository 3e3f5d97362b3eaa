#include "bind/norm.h"
#include "bind/register.h"

namespace fastnn {
namespace {

py::tuple batch_norm(py::handle x_, py::handle running_mean_, py::handle running_var_, py::handle weight_,
                     py::handle bias_, bool training, double momentum, double eps, py::handle out) {
  const Array x = check(x_, "x");
  const Channels c(x);
  const Running running(running_mean_, running_var_, x, c.shape(), training);
  const Array weight = check_optional(weight_, "weight", x, c.shape());
  const Array bias = check_optional(bias_, "bias", x, c.shape());
  check_range(momentum, "momentum", 0, 1);
  check_not_negative(eps, "eps");
  if (training && c.outer * c.inner == 1) {
    throw py::value_error("x: got one value per channel, shape " + text(x.shape) +
                          ", want two at least in training, where a variance is taken; use a larger batch or eval mode");
  }
  if (training) running.check_written_apart({&x, &weight, &bias});
  const Result y = result(out, x, {&x}, {&running.mean, &running.var, &weight, &bias});
  Statistics s(c.shape());
  if (training && x.size == 0) {  // no batch, no statistics
    s.set_zero();
    return py::make_tuple(y.object, s.mean, s.rstd);
  }
  by_dtype(x, [&]<class T>(T) {
    run(kernels_for<T>().channel_norm,
        ChannelNormArgs<T>{y.array.as<T>(), s.mean.mutable_data(), s.rstd.mutable_data(), running.mean.as<T>(),
                           running.var.as<T>(), x.as<T>(), weight.as<T>(), bias.as<T>(), c.outer, c.channels, c.inner,
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

void register_batch_norm(py::module_& m) {
  using namespace py::literals;
  m.def("batch_norm", &batch_norm, "x"_a, "running_mean"_a, "running_var"_a, "weight"_a, "bias"_a, "training"_a,
        "momentum"_a, "eps"_a, "out"_a);
  m.def("batch_norm_backward", &batch_norm_backward, "dy"_a, "x"_a, "weight"_a, "mean"_a, "rstd"_a, "training"_a,
        "out"_a);
}

}  // namespace fastnn
