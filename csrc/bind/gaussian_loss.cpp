// The negative log-likelihood of normal distributions, with gradients with respect to mean and variance.
#include <algorithm>
#include <cmath>

#include "bind/loss.h"
#include "bind/register.h"
#include "kernels/args/loss.h"

namespace fastnn {
namespace {

template <class T>
void check_variances(const Array& var, double eps) {
  if (!(T(eps) > 0 && std::isfinite(T(eps)))) {
    throw py::value_error("eps: got " + text(eps) + ", want a finite number > 0 of var's dtype; the default is 1e-6");
  }
  const T* v = var.as<const T>();
  bool negative = false;
  for (Index i = 0; i < var.size; ++i) negative |= v[i] < 0;
  if (!negative) return;
  const T first = *std::find_if(v, v + var.size, [](T one) { return one < 0; });
  throw py::value_error("var: got " + text(double(first)) + ", want variances >= 0; compute them by softplus or exp");
}

// Returns (loss, dinput, dvar, number of elements).
py::tuple gaussian_nll_loss(py::handle input_, py::handle target_, py::handle var_, bool full, double eps,
                            py::handle reduction_, py::handle out) {
  const Reduction reduction = check_reduction(reduction_, {Reduction::mean, Reduction::sum, Reduction::none});
  const Array input = check(input_, "input"), target = check(target_, "target", input, input.shape);
  const Array var = check(var_, "var", input, input.shape);
  by_dtype(input, [&]<class T>(T) { check_variances<T>(var, eps); });
  const Result dinput = result(out, input, {&input}, {&target, &var}), dvar = result(py::none(), input, {});
  const double divisor = reduction == Reduction::mean ? double(input.size) : 1.0;
  Losses losses(input, reduction);
  by_dtype(input, [&]<class T>(T) {
    run(kernels_for<T>().gaussian_nll_loss,
        GaussianLossArgs<T>{.dinput = dinput.array.as<T>(), .dvar = dvar.array.as<T>(), .losses = losses.each<T>(),
                            .partial = losses.partial(), .input = input.as<T>(), .target = target.as<T>(),
                            .var = var.as<T>(), .size = input.size, .scale = 1 / divisor, .eps = eps, .full = full});
  });
  return py::make_tuple(losses.reduced(divisor), dinput.object, dvar.object, input.size);
}

}  // namespace

FASTNN_BINDINGS(gaussian_loss, m) {
  using namespace py::literals;
  m.def("gaussian_nll_loss", &gaussian_nll_loss, "input"_a, "target"_a, "var"_a, "full"_a, "eps"_a, "reduction"_a,
        "out"_a);
}

}  // namespace fastnn
