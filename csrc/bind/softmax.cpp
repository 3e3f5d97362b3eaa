#include <algorithm>

#include "bind/norm.h"
#include "bind/register.h"
#include "kernels/args/softmax.h"

namespace fastnn {
namespace {

// The shape as (outer, n, inner) around the axis `dim`, which may count from the end.
struct Axis {
  Index outer, n, inner;
};

Axis check_dim(const Array& x, py::handle dim_) {
  const Index dim = check_integer(dim_, "dim", "it names an axis of " + x.name);
  const Index axes = std::max<Index>(Index(x.shape.size()), 1);
  if (dim < -axes || dim >= axes) {
    throw py::value_error("dim: got " + std::to_string(dim) + ", want an axis of " + x.name + "'s shape " +
                          text(x.shape) + ", in [" + std::to_string(-axes) + ", " + std::to_string(axes) + ")");
  }
  if (x.shape.empty()) return {1, 1, 1};
  const auto at = x.shape.begin() + (dim < 0 ? dim + axes : dim);
  return {product(Shape(x.shape.begin(), at)), *at, product(Shape(at + 1, x.shape.end()))};
}

template <class Kernel>
py::object forward(py::handle x_, py::handle dim, py::handle out, Kernel kernel) {
  const Array x = check(x_, "x");
  const Axis axis = check_dim(x, dim);
  const Result y = result(out, x, {&x});
  by_dtype(x, [&]<class T>(T) {
    run(kernel(kernels_for<T>()),
        SoftmaxArgs<T>{.y = y.array.as<T>(), .x = x.as<T>(), .outer = axis.outer, .n = axis.n, .inner = axis.inner});
  });
  return y.object;
}

template <class Kernel>
py::object backward(py::handle dy_, py::handle y_, py::handle dim, py::handle out, Kernel kernel) {
  const Array y = check(y_, "y");
  const Array dy = check(dy_, "dy", y, y.shape);
  const Axis axis = check_dim(y, dim);
  const Result dx = result(out, y, {&dy, &y});
  by_dtype(y, [&]<class T>(T) {
    run(kernel(kernels_for<T>()), SoftmaxBackwardArgs<T>{.dx = dx.array.as<T>(), .dy = dy.as<T>(), .y = y.as<T>(),
                                                         .outer = axis.outer, .n = axis.n, .inner = axis.inner});
  });
  return dx.object;
}

py::object softmax(py::handle x, py::handle dim, py::handle out) {
  return forward(x, dim, out, [](const auto& table) { return table.softmax; });
}

py::object log_softmax(py::handle x, py::handle dim, py::handle out) {
  return forward(x, dim, out, [](const auto& table) { return table.log_softmax; });
}

py::object softmax_backward(py::handle dy, py::handle y, py::handle dim, py::handle out) {
  return backward(dy, y, dim, out, [](const auto& table) { return table.softmax_backward; });
}

py::object log_softmax_backward(py::handle dy, py::handle y, py::handle dim, py::handle out) {
  return backward(dy, y, dim, out, [](const auto& table) { return table.log_softmax_backward; });
}

}  // namespace

FASTNN_BINDINGS(softmax, m) {
  using namespace py::literals;
  m.def("softmax", &softmax, "x"_a, "dim"_a, "out"_a);
  m.def("softmax_backward", &softmax_backward, "dy"_a, "y"_a, "dim"_a, "out"_a);
  m.def("log_softmax", &log_softmax, "x"_a, "dim"_a, "out"_a);
  m.def("log_softmax_backward", &log_softmax_backward, "dy"_a, "y"_a, "dim"_a, "out"_a);
}

}  // namespace fastnn
