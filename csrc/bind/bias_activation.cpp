#include <pybind11/stl.h>

#include <optional>

#include "bind/activation_kind.h"
#include "bind/norm.h"
#include "bind/operand.h"
#include "bind/register.h"
#include "calls/dropout.h"
#include "runtime/memory.h"

namespace fastnn {
namespace {

constexpr double kSoftplusThreshold = 20;

// The arguments of both forward and backward: x (..., C), the bias, the activation, the dropout mask.
struct BiasActivationCall {
  const ActivationKind& kind;
  Array x, bias;
  Index rows, columns;
  double option, p;
  Philox random;

  BiasActivationCall(py::handle x_, py::handle bias_, const std::string& activation, std::optional<double> alpha,
                     double p_, const Philox& random_)
      : kind(activation_kind(activation)),
        x(check(x_, "x")),
        option(alpha.value_or(kind.initial)),
        p(p_),
        random(random_) {
    if (x.shape.empty()) throw py::value_error("x: got shape (), want (..., C)");
    rows = product(Shape(x.shape.begin(), x.shape.end() - 1));
    columns = x.shape.back();
    bias = check_optional(bias_, "bias", x, {columns});
    if (alpha && !kind.option) {
      throw py::value_error("alpha: got " + text(*alpha) + ", want None for " + activation + ", which has no option");
    }
    check_options(kind, "alpha", option, kSoftplusThreshold, x);
    check_range(p, "p", 0, 1);
  }

  template <class T>
  BiasActivationArgs<T> args(const Array& y) const {
    return {.y = y.as<T>(), .x = x.as<T>(), .bias = bias.as<T>(), .rows = rows, .columns = columns, .kind = kind.kind,
            .options = {T(option), T(kSoftplusThreshold)}, .masked = p > 0, .random = random,
            .threshold = drop_threshold(p), .scale = T(keep_scale(p)), .dy = nullptr, .dbias = nullptr,
            .partial = nullptr};
  }
};

py::object bias_activation(py::handle x, py::handle bias, const std::string& activation, std::optional<double> alpha,
                           double p, std::uint64_t seed, std::uint64_t stream, std::uint64_t block, py::handle out) {
  const BiasActivationCall b(x, bias, activation, alpha, p, {seed, stream, block});
  const Result y = result(out, b.x, {&b.x}, {&b.bias});
  by_dtype(b.x, [&]<class T>(T) { run(kernels_for<T>().bias_activation, b.args<T>(y.array)); });
  return y.object;
}

// Computes dx, unless `dx` has no data, and dbias, unless it is null.
void backward(const BiasActivationCall& b, const Array& dx, const Array& dy, const Array& dbias) {
  by_dtype(b.x, [&]<class T>(T) {
    BiasActivationArgs<T> args = b.args<T>(dx);
    args.dy = dy.as<T>();
    const Scratch<T> partial(dbias.given() ? bias_blocks(b.rows) * b.columns : 0);
    if (dbias.given()) {
      args.partial = partial.get();
      args.dbias = dbias.as<T>();
    }
    run(kernels_for<T>().bias_activation_backward, args);
  });
}

// dbias is None for none, or where to write it.
py::object bias_activation_backward(py::handle dy_, py::handle x, py::handle bias, const std::string& activation,
                                    std::optional<double> alpha, double p, std::uint64_t seed, std::uint64_t stream,
                                    std::uint64_t block, py::handle out, py::handle dbias_) {
  const BiasActivationCall b(x, bias, activation, alpha, p, {seed, stream, block});
  const Array dy = check(dy_, "dy", b.x, b.x.shape);
  const Result dx = result(out, b.x, {&dy, &b.x}, {&b.bias});
  const Array dbias = check_optional(dbias_, "dbias", b.x, {b.columns}, Access::write);
  for (const Array* other : {&dy, &b.x, &b.bias, &dx.array}) {
    if (dbias.given()) check_apart(dbias, *other);
  }
  backward(b, dx.array, dy, dbias);
  return dx.object;
}

// The gradient with respect to a bias alone: the sum of the rows of dy (..., C), in the order of the function above.
py::object bias_gradient(py::handle dy, py::handle out) {
  const BiasActivationCall b(dy, py::none(), "identity", std::nullopt, 0, {0, 0, 0});
  Array like = b.x;
  like.shape = {b.columns};
  const Result dbias = result(out, like, {}, {&b.x});
  backward(b, Array(), b.x, dbias.array);
  return dbias.object;
}

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

FASTNN_BINDINGS(bias_activation, m) {
  using namespace py::literals;
  m.def("bias_activation", &bias_activation, "x"_a, "bias"_a, "activation"_a, "alpha"_a, "p"_a, "seed"_a, "stream"_a,
        "block"_a, "out"_a);
  m.def("bias_activation_backward", &bias_activation_backward, "dy"_a, "x"_a, "bias"_a, "activation"_a, "alpha"_a,
        "p"_a, "seed"_a, "stream"_a, "block"_a, "out"_a, "dbias"_a);
  m.def("bias_gradient", &bias_gradient, "dy"_a, "out"_a);
  m.def("linear", &linear, "x"_a, "weight"_a, "bias"_a, "activation"_a, "alpha"_a, "p"_a, "seed"_a, "stream"_a,
        "block"_a, "out"_a, "keep"_a);
}

}  // namespace fastnn
