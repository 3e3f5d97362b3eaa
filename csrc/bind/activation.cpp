#include "bind/arrays.h"
#include "bind/register.h"

namespace fastnn {
namespace {

py::object relu(py::handle x_, py::handle out) {
  const Array x = check(x_, "x");
  const Result y = result(out, x, {&x});
  by_dtype(x, [&]<class T>(T) {
    run(kernels_for<T>().relu, MapArgs<T>{y.array.as<T>(), x.as<T>(), nullptr, x.size});
  });
  return y.object;
}

py::object relu_backward(py::handle dy_, py::handle x_, py::handle out) {
  const Array x = check(x_, "x");
  const Array dy = check(dy_, "dy", x, x.shape);
  const Result dx = result(out, x, {&dy, &x});
  by_dtype(x, [&]<class T>(T) {
    run(kernels_for<T>().relu_backward, MapArgs<T>{dx.array.as<T>(), x.as<T>(), dy.as<T>(), x.size});
  });
  return dx.object;
}

}  // namespace

void register_activation(py::module_& m) {
  using namespace py::literals;
  m.def("relu", &relu, "x"_a, "out"_a);
  m.def("relu_backward", &relu_backward, "dy"_a, "x"_a, "out"_a);
}

}  // namespace fastnn
