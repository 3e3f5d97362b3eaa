#include <cmath>

#include "bind/arrays.h"
#include "bind/register.h"
#include "calls/dropout.h"
#include "kernels/args/dropout.h"

namespace fastnn {
namespace {

// Returns the factor for the kept elements. None means the one that preserves the expected value.
double check_scale(py::handle scale, double p) {
  if (scale.is_none()) return keep_scale(p);
  return check_not_negative(py::cast<double>(scale), "scale");
}

// Forward and backward are the same function; in backward, errors call x dy.
py::object dropout(py::handle x_, double p, std::uint64_t seed, std::uint64_t stream, std::uint64_t block,
                   py::handle scale_, int leading, const std::string& name, py::handle out) {
  const Array x = check(x_, name);
  check_range(p, "p", 0, 1);
  const double scale = check_scale(scale_, p);
  Index inner = 1;
  if (leading) {
    if (Index(x.shape.size()) < leading) {
      throw py::value_error(name + ": got shape " + text(x.shape) +
                            ", want (N, C, ...), since whole channels are dropped");
    }
    for (std::size_t axis = std::size_t(leading); axis < x.shape.size(); ++axis) inner *= x.shape[axis];
  }
  const Result y = result(out, x, {&x});
  if (x.size == 0) return y.object;
  by_dtype(x, [&]<class T>(T) {
    const auto& kernels = kernels_for<T>();
    run(leading ? kernels.dropout2d : kernels.dropout, DropoutArgs<T>{.y = y.array.as<T>(), .x = x.as<T>(),
                                                                      .size = x.size, .inner = inner,
                                                                      .random = {seed, stream, block},
                                                                      .threshold = drop_threshold(p), .scale = T(scale),
                                                                      .shift = 0, .dropped = 0});
  });
  return y.object;
}

py::object alpha_dropout(py::handle x_, double p, std::uint64_t seed, std::uint64_t stream, std::uint64_t block,
                         bool backward, py::handle out) {
  const Array x = check(x_, backward ? "dy" : "x");
  check_range(p, "p", 0, 1);
  const AlphaDropout a = alpha_dropout_of(p, backward);
  const Result y = result(out, x, {&x});
  by_dtype(x, [&]<class T>(T) {
    run(kernels_for<T>().alpha_dropout, DropoutArgs<T>{.y = y.array.as<T>(), .x = x.as<T>(), .size = x.size,
                                                       .inner = 1, .random = {seed, stream, block},
                                                       .threshold = drop_threshold(p), .scale = T(a.scale),
                                                       .shift = T(a.shift), .dropped = T(a.dropped)});
  });
  return y.object;
}

}  // namespace

FASTNN_BINDINGS(dropout, m) {
  using namespace py::literals;
  m.def("dropout", &dropout, "x"_a, "p"_a, "seed"_a, "stream"_a, "block"_a, "scale"_a, "leading"_a, "name"_a, "out"_a);
  m.def("alpha_dropout", &alpha_dropout, "x"_a, "p"_a, "seed"_a, "stream"_a, "block"_a, "backward"_a, "out"_a);
}

}  // namespace fastnn
