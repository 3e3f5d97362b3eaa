// The product of a linear layer, with what follows it in the same pass.
#include <pybind11/stl.h>

#include "bind/bias_activation.h"
#include "bind/operand.h"
#include "bind/register.h"

namespace fastnn {
namespace {

// y = dropout(activation(x @ weight.T + bias)), x (..., in), weight (out, in). With `keep` returns y and x @ weight.T.
py::object linear(py::handle x_, py::handle weight_, py::handle bias, const std::string& activation,
                  std::optional<double> alpha, double p, std::uint64_t seed, std::uint64_t stream, std::uint64_t block,
                  py::handle out, bool keep) {
  const Strided x = check_strided(x_, "x"), weight = check_strided(weight_, "weight", x.array);
  if (weight.array.shape.size() != 2) {
    throw py::value_error("weight: got shape " + text(weight.array.shape) + ", want (out_features, in_features)");
  }
  Operand a(x, true), b(weight, false);
  b.turn();
  if (x.array.shape.empty() || a.columns != b.rows) {
    throw py::value_error("x: got shape " + text(x.array.shape) + ", want (..., " + std::to_string(b.rows) +
                          "), the features of weight on the last axis");
  }
  Array like = x.array;
  like.shape.back() = b.columns;
  const Result y = result(out, like, {}, {&x.memory, &weight.memory});
  const Result product = keep ? result(py::none(), like, {}) : y;
  const BiasActivationCall then(product.object, bias, activation, alpha, p, {seed, stream, block});
  check_apart(y.array, then.bias);
  const Shape batch = a.batch;
  const bool folded = a.fold(), plain = !then.bias.given() && activation == "identity" && p == 0 && !keep;
  if (y.array.size > 0) {
    by_dtype(y.array, [&]<class T>(T) {
      const BiasActivationArgs<T> args = then.args<T>(y.array);
      multiply<T>({product.array.as<T>(), b.columns, a, b, folded ? a.batch : batch, false, plain ? nullptr : &args});
    });
  }
  return keep ? py::object(py::make_tuple(y.object, product.object)) : y.object;
}

}  // namespace

FASTNN_BINDINGS(linear, m) {
  using namespace py::literals;
  m.def("linear", &linear, "x"_a, "weight"_a, "bias"_a, "activation"_a, "alpha"_a, "p"_a, "seed"_a, "stream"_a,
        "block"_a, "out"_a, "keep"_a);
}

}  // namespace fastnn
