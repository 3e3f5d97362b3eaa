#include <pybind11/stl.h>

#include <optional>

#include "bind/activation_kind.h"
#include "bind/norm.h"
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

py::tuple bias_activation_backward(py::handle dy_, py::handle x, py::handle bias, const std::string& activation,
                                   std::optional<double> alpha, double p, std::uint64_t seed, std::uint64_t stream,
                                   std::uint64_t block, py::handle out) {
  const BiasActivationCall b(x, bias, activation, alpha, p, {seed, stream, block});
  const Array dy = check(dy_, "dy", b.x, b.x.shape);
  const Result dx = result(out, b.x, {&dy, &b.x}, {&b.bias});
  py::object dbias = py::none();
  if (b.bias.given()) dbias = new_array({b.columns}, b.x.is_double());
  by_dtype(b.x, [&]<class T>(T) {
    BiasActivationArgs<T> args = b.args<T>(dx.array);
    args.dy = dy.as<T>();
    const Scratch<T> partial(b.bias.given() ? bias_blocks(b.rows) * b.columns : 0);
    if (b.bias.given()) {
      args.partial = partial.get();
      args.dbias = static_cast<T*>(py::array(dbias).mutable_data());
    }
    run(kernels_for<T>().bias_activation_backward, args);
  });
  return py::make_tuple(dx.object, dbias);
}

}  // namespace

FASTNN_BINDINGS(bias_activation, m) {
  using namespace py::literals;
  m.def("bias_activation", &bias_activation, "x"_a, "bias"_a, "activation"_a, "alpha"_a, "p"_a, "seed"_a, "stream"_a,
        "block"_a, "out"_a);
  m.def("bias_activation_backward", &bias_activation_backward, "dy"_a, "x"_a, "bias"_a, "activation"_a, "alpha"_a,
        "p"_a, "seed"_a, "stream"_a, "block"_a, "out"_a);
}

}  // namespace fastnn
