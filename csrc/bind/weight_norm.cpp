#include "bind/norm.h"
#include "bind/register.h"
#include "kernels/args/weight_norm.h"

namespace fastnn {
namespace {

// v as outer, channels, inner, and the shape that its norms have.
struct ChannelAxis {
  Index outer = 1, channels = 1, inner = 1;
  Shape shape;

  ChannelAxis(const Array& v, py::handle dim_) : shape(v.shape.size(), 1) {
    const Index axes = Index(v.shape.size());
    if (dim_.is_none()) {
      inner = v.size;
      return;
    }
    const Index dim = check_integer(dim_, "dim", "it names an axis of v; None for one norm over everything");
    if (dim < 0 || dim >= axes) {
      throw py::value_error("dim: got " + std::to_string(dim) + ", want an axis in [0, " + std::to_string(axes) +
                            ") of v, or None for one norm over everything (-1 in torch)");
    }
    const auto at = v.shape.begin() + dim;
    outer = product(Shape(v.shape.begin(), at));
    channels = *at;
    inner = product(Shape(at + 1, v.shape.end()));
    shape[std::size_t(dim)] = channels;
  }
};

// Of g: the norm over everything may also come without axes.
Shape norm_shape(py::handle g, const ChannelAxis& axis, py::handle dim) {
  const bool bare = dim.is_none() && py::isinstance<py::array>(g) && py::reinterpret_borrow<py::array>(g).ndim() == 0;
  return bare ? Shape{} : axis.shape;
}

py::tuple weight_norm(py::handle v_, py::handle g_, py::handle dim, py::handle out) {
  const Array v = check(v_, "v");
  const ChannelAxis axis(v, dim);
  const Shape shape = norm_shape(g_, axis, dim);
  const Array g = check(g_, "g", v, shape);
  const Result w = result(out, v, {&v}, {&g});
  py::array_t<double> norm(shape);
  by_dtype(v, [&]<class T>(T) {
    run(kernels_for<T>().weight_norm, WeightNormArgs<T>{.w = w.array.as<T>(), .norm = norm.mutable_data(),
                                                        .v = v.as<T>(), .g = g.as<T>(), .outer = axis.outer,
                                                        .channels = axis.channels, .inner = axis.inner});
  });
  return py::make_tuple(w.object, norm);
}

py::tuple weight_norm_backward(py::handle dw_, py::handle v_, py::handle g_, py::handle norm_, py::handle dim,
                               py::handle out) {
  const Array v = check(v_, "v");
  const Array dw = check(dw_, "dw", v, v.shape);
  const ChannelAxis axis(v, dim);
  const Shape shape = norm_shape(g_, axis, dim);
  const Array g = check(g_, "g", v, shape), norm = check_double(norm_, "norm", shape);
  const Result dv = result(out, v, {&dw, &v}, {&g, &norm});
  py::array dg = new_array(shape, v.is_double());
  by_dtype(v, [&]<class T>(T) {
    run(kernels_for<T>().weight_norm_backward, WeightNormBackwardArgs<T>{.dv = dv.array.as<T>(),
                                                                         .dg = static_cast<T*>(dg.mutable_data()),
                                                                         .dw = dw.as<T>(), .v = v.as<T>(),
                                                                         .g = g.as<T>(), .norm = norm.as<double>(),
                                                                         .outer = axis.outer, .channels = axis.channels,
                                                                         .inner = axis.inner});
  });
  return py::make_tuple(dv.object, dg);
}

}  // namespace

FASTNN_BINDINGS(weight_norm, m) {
  using namespace py::literals;
  m.def("weight_norm", &weight_norm, "v"_a, "g"_a, "dim"_a, "out"_a);
  m.def("weight_norm_backward", &weight_norm_backward, "dw"_a, "v"_a, "g"_a, "norm"_a, "dim"_a, "out"_a);
}

}  // namespace fastnn
