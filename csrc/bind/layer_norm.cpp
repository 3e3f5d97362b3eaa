// Layer norm, RMS norm, and layer norm with dropout and a residual before it.
#include <pybind11/stl.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "bind/norm.h"
#include "bind/register.h"
#include "calls/dropout.h"
#include "kernels/args/layer_norm.h"
#include "runtime/memory.h"

namespace fastnn {
namespace {

// Returns the leading axes of x, after checking that its trailing axes are `normalized`.
Shape leading(const Array& x, const Shape& normalized) {
  const std::size_t lead = x.shape.size() - std::min(x.shape.size(), normalized.size());
  if (normalized.empty() || Shape(x.shape.begin() + std::ptrdiff_t(lead), x.shape.end()) != normalized) {
    throw py::value_error("x: got shape " + text(x.shape) + ", want a shape that ends in normalized_shape " +
                          text(normalized));
  }
  return Shape(x.shape.begin(), x.shape.begin() + std::ptrdiff_t(lead));
}

template <class T>
LayerNormArgs<T> norm_args(const Array& y, double* mean, double* rstd, const Array& x, const Array& weight,
                           const Array& bias, const Shape& outer, const Shape& normalized, double eps) {
  return {.y = y.as<T>(), .mean = mean, .rstd = rstd, .x = x.as<T>(), .weight = weight.as<T>(), .bias = bias.as<T>(),
          .rows = product(outer), .columns = product(normalized), .eps = eps};
}

// Returns y, or with return_stats y, mean and rstd: two more arrays cost a small call a tenth of its time.
py::object layer_norm(py::handle x_, const Shape& normalized, py::handle weight_, py::handle bias_, double eps,
                      bool rms, bool return_stats, py::handle out) {
  const Array x = check(x_, "x");
  const Shape outer = leading(x, normalized);
  const Array weight = check_optional(weight_, "weight", x, normalized);
  const Array bias = check_optional(bias_, "bias", x, normalized);
  check_not_negative(eps, "eps");
  const Result y = result(out, x, {&x}, {&weight, &bias});
  std::optional<Statistics> kept;
  std::vector<double> unseen;
  return_stats ? void(kept.emplace(outer)) : unseen.resize(std::size_t(2 * product(outer)));
  double* mean = kept ? kept->mean.mutable_data() : unseen.data();
  double* rstd = kept ? kept->rstd.mutable_data() : unseen.data() + product(outer);
  by_dtype(x, [&]<class T>(T) {
    run(kernels_for<T>().layer_norm,
        norm_args<T>(y.array, rms ? nullptr : mean, rstd, x, weight, bias, outer, normalized, eps));
  });
  if (!kept) return y.object;
  return py::make_tuple(y.object, kept->mean, kept->rstd);
}

// The arguments and results that all backward functions over rows share.
struct Backward {
  Array x, dy, weight, mean, rstd;
  Result dx;
  py::array dweight, dbias;
  Index rows, columns;

  Backward(const char* name, py::handle dy_, py::handle x_, py::handle weight_, py::handle mean_, py::handle rstd_,
           bool rms, py::handle out) {
    x = check(x_, name);
    dy = check(dy_, "dy", x, x.shape);
    const std::string factor = rms ? "rrms" : "rstd";
    const Shape lead = check(rstd_, factor).shape;
    if (lead.size() >= x.shape.size()) {
      throw py::value_error(factor + ": got shape " + text(lead) + ", want the leading axes of " + name + "'s shape " +
                            text(x.shape) + "; pass what forward returned");
    }
    const auto split = x.shape.begin() + std::ptrdiff_t(lead.size());
    const Shape outer(x.shape.begin(), split), normalized(split, x.shape.end());
    if (!rms) mean = check_double(mean_, "mean", outer);
    rstd = check_double(rstd_, factor, outer);
    weight = check_optional(weight_, "weight", x, normalized);
    dx = result(out, x, {&dy, &x}, {&weight, &mean, &rstd});
    dweight = new_array(normalized, x.is_double());
    dbias = new_array(normalized, x.is_double());
    rows = product(outer);
    columns = product(normalized);
  }

  template <class T>
  LayerNormBackwardArgs<T> args(T* partial) {
    return {.dx = dx.array.as<T>(), .dweight = static_cast<T*>(dweight.mutable_data()),
            .dbias = static_cast<T*>(dbias.mutable_data()), .partial = partial, .dy = dy.as<T>(), .x = x.as<T>(),
            .weight = weight.as<T>(), .mean = mean.as<double>(), .rstd = rstd.as<double>(), .rows = rows,
            .columns = columns};
  }
  Index partial_size() const { return 2 * columns * layer_norm_blocks(rows); }
};

py::tuple layer_norm_backward(py::handle dy, py::handle x, py::handle weight, py::handle mean, py::handle rstd,
                              bool rms, py::handle out) {
  Backward b("x", dy, x, weight, mean, rstd, rms, out);
  by_dtype(b.x, [&]<class T>(T) {
    const Scratch<T> partial(b.partial_size());
    run(kernels_for<T>().layer_norm_backward, b.args(partial.get()));
  });
  return py::make_tuple(b.dx.object, b.dweight, b.dbias);
}

py::tuple dropout_add_layer_norm(py::handle x_, py::handle residual_, const std::optional<Shape>& normalized,
                                 py::handle weight_, py::handle bias_, double p, std::uint64_t seed,
                                 std::uint64_t stream, std::uint64_t block, double eps, bool keep_sum, py::handle out) {
  const Array x = check(x_, "x");
  const Array residual = check_optional(residual_, "residual", x, x.shape);
  const Shape shape = normalized.value_or(Shape(x.shape.end() - (x.shape.empty() ? 0 : 1), x.shape.end()));
  const Shape outer = leading(x, shape);
  const Array weight = check_optional(weight_, "weight", x, shape);
  const Array bias = check_optional(bias_, "bias", x, shape);
  check_range(p, "p", 0, 1);
  check_not_negative(eps, "eps");
  const Result y = result(out, x, {&x, &residual}, {&weight, &bias});
  const std::uint32_t threshold = drop_threshold(p);
  const bool adds = residual.given() || p > 0;
  // With a norm the sum has an array of its own if the caller wants it; else it lies in y until the norm overwrites it.
  const Result sum = !adds                    ? Result{py::reinterpret_borrow<py::object>(x_), x}
                     : normalized && keep_sum ? result(py::none(), x, {})
                                              : y;
  Statistics s(outer);
  if (!normalized) s.set_zero();
  by_dtype(x, [&]<class T>(T) {
    LayerNormArgs<T> norm =
        norm_args<T>(y.array, s.mean.mutable_data(), s.rstd.mutable_data(), sum.array, weight, bias, outer, shape, eps);
    if (!adds && normalized) return run(kernels_for<T>().layer_norm, norm);
    if (!normalized) norm.y = nullptr;
    run(kernels_for<T>().dropout_add_layer_norm, DropoutAddLayerNormArgs<T>{.norm = norm,
                                                                            .sum = (normalized ? sum : y).array.as<T>(),
                                                                            .x = x.as<T>(),
                                                                            .residual = residual.as<T>(),
                                                                            .random = {seed, stream, block},
                                                                            .threshold = threshold,
                                                                            .scale = T(keep_scale(p))});
  });
  return py::make_tuple(y.object, sum.object, s.mean, s.rstd);
}

py::tuple dropout_add_layer_norm_backward(py::handle dy, py::handle sum, py::handle weight, py::handle mean,
                                          py::handle rstd, double p, std::uint64_t seed, std::uint64_t stream,
                                          std::uint64_t block, py::handle dsum_, py::handle out) {
  check_range(p, "p", 0, 1);
  Backward b("sum", dy, sum, weight, mean, rstd, false, out);
  const Array dsum = check_optional(dsum_, "dsum", b.x, b.x.shape);
  check_apart(b.dx.array, dsum);
  const std::uint32_t threshold = drop_threshold(p);
  const Result dx = p > 0 ? result(py::none(), b.x, {}) : Result{b.dx.object, {}};
  by_dtype(b.x, [&]<class T>(T) {
    const Scratch<T> partial(b.partial_size());
    run(kernels_for<T>().dropout_add_layer_norm_backward,
        DropoutAddLayerNormBackwardArgs<T>{.norm = b.args(partial.get()), .dx = dx.array.as<T>(),
                                           .dsum = dsum.as<T>(), .random = {seed, stream, block},
                                           .threshold = threshold, .scale = T(keep_scale(p))});
  });
  return py::make_tuple(dx.object, b.dx.object, b.dweight, b.dbias);
}

}  // namespace

FASTNN_BINDINGS(layer_norm, m) {
  using namespace py::literals;
  m.def("layer_norm", &layer_norm, "x"_a, "normalized_shape"_a, "weight"_a, "bias"_a, "eps"_a, "rms"_a,
        "return_stats"_a, "out"_a);
  m.def("layer_norm_backward", &layer_norm_backward, "dy"_a, "x"_a, "weight"_a, "mean"_a, "rstd"_a, "rms"_a, "out"_a);
  m.def("dropout_add_layer_norm", &dropout_add_layer_norm, "x"_a, "residual"_a, "normalized_shape"_a, "weight"_a,
        "bias"_a, "p"_a, "seed"_a, "stream"_a, "block"_a, "eps"_a, "keep_sum"_a, "out"_a);
  m.def("dropout_add_layer_norm_backward", &dropout_add_layer_norm_backward, "dy"_a, "sum"_a, "weight"_a, "mean"_a,
        "rstd"_a, "p"_a, "seed"_a, "stream"_a, "block"_a, "dsum"_a, "out"_a);
}

}  // namespace fastnn
