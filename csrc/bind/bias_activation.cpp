#include <pybind11/stl.h>

#include "bind/bias_activation.h"
#include "bind/register.h"
#include "runtime/memory.h"

namespace fastnn {
namespace {

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

}  // namespace

FASTNN_BINDINGS(bias_activation, m) {
  using namespace py::literals;
  m.def("bias_activation", &bias_activation, "x"_a, "bias"_a, "activation"_a, "alpha"_a, "p"_a, "seed"_a, "stream"_a,
        "block"_a, "out"_a);
  m.def("bias_activation_backward", &bias_activation_backward, "dy"_a, "x"_a, "bias"_a, "activation"_a, "alpha"_a,
        "p"_a, "seed"_a, "stream"_a, "block"_a, "out"_a, "dbias"_a);
  m.def("bias_gradient", &bias_gradient, "dy"_a, "out"_a);
}

}  // namespace fastnn
