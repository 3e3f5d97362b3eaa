#include <pybind11/stl.h>

#include <algorithm>

#include "bind/norm.h"
#include "bind/register.h"
#include "core/memory.h"

namespace fastnn {
namespace {

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
    const Scratch<T> partial(2 * columns * row_norm_blocks(rows));
    run(kernels_for<T>().row_norm_backward,
        RowNormBackwardArgs<T>{dx.array.as<T>(), static_cast<T*>(dweight.mutable_data()),
                               static_cast<T*>(dbias.mutable_data()), partial.get(), dy.as<T>(), x.as<T>(),
                               weight.as<T>(), mean.as<double>(), rstd.as<double>(), rows, columns});
  });
  return py::make_tuple(dx.object, dweight, dbias);
}

}  // namespace

void register_layer_norm(py::module_& m) {
  using namespace py::literals;
  m.def("layer_norm", &layer_norm, "x"_a, "normalized_shape"_a, "weight"_a, "bias"_a, "eps"_a, "out"_a);
  m.def("layer_norm_backward", &layer_norm_backward, "dy"_a, "x"_a, "weight"_a, "mean"_a, "rstd"_a, "out"_a);
}

}  // namespace fastnn
