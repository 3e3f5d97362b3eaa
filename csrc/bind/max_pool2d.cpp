#include <pybind11/stl.h>

#include <algorithm>

#include "bind/norm.h"
#include "bind/register.h"
#include "kernels/args/max_pool2d.h"

namespace fastnn {
namespace {

using Pair = std::pair<Index, Index>;

std::string shown(const Pair& pair) { return text(Shape{pair.first, pair.second}); }

// The sizes of pooling over (..., H, W), where each plane is pooled separately. The Python code checked that they fit
// int32.
struct Pooling {
  Index planes;
  PoolAxis height, width;
  Shape outputs;

  Pooling(const std::string& name, const Shape& x, const Pair& kernel, const Pair& stride, const Pair& padding)
      : outputs(x) {
    if (2 * padding.first > kernel.first || 2 * padding.second > kernel.second) {
      throw py::value_error("padding: got " + shown(padding) + ", want at most half of kernel_size " + shown(kernel));
    }
    const std::size_t axes = x.size();
    height = width = {};
    if (axes >= 2) {
      height = axis(x[axes - 2], kernel.first, stride.first, padding.first);
      width = axis(x[axes - 1], kernel.second, stride.second, padding.second);
    }
    if (height.outputs < 1 || width.outputs < 1) {
      throw py::value_error(name + ": got shape " + text(x) + ", want (..., H, W) with room for a window of " +
                            shown(kernel) + " with padding " + shown(padding));
    }
    planes = product(Shape(x.begin(), x.end() - 2));
    outputs[axes - 2] = height.outputs;
    outputs[axes - 1] = width.outputs;
  }

  void check_places() const {
    if (height.window * width.window <= kMostPlaces) return;
    throw py::value_error("kernel_size: got " + shown(Pair{height.window, width.window}) + ", want a product of " +
                          std::to_string(kMostPlaces) + " at most if indices are returned; use return_indices=False");
  }

 private:
  static PoolAxis axis(Index size, Index window, Index stride, Index padding) {
    return {.size = size, .outputs = size < 1 ? 0 : pool_outputs(size, window, stride, padding), .window = window,
            .stride = stride, .padding = padding};
  }
};

// Lanes and comparisons, since the compiler turns these into vectors, but not a loop over std::max.
std::uint8_t largest(const std::uint8_t* bytes, Index size) {
  constexpr Index kLanes = 16;
  std::uint8_t lanes[kLanes] = {};
  Index i = 0;
  for (; i + kLanes <= size; i += kLanes) {
    for (Index lane = 0; lane < kLanes; ++lane)
      lanes[lane] = lanes[lane] < bytes[i + lane] ? bytes[i + lane] : lanes[lane];
  }
  for (; i < size; ++i) lanes[0] = std::max(lanes[0], bytes[i]);
  return *std::max_element(lanes, lanes + kLanes);
}

bool is_within(const PoolAxis::Part& part, Index place) {
  return part.skipped <= place && place < part.skipped + part.end - part.begin;
}

// Returns whether every place lies within its window, and within the plane if the plane cuts the window.
bool are_places(const std::uint8_t* places, const Pooling& p) {
  const PoolAxis &height = p.height, &width = p.width;
  if (largest(places, p.planes * height.outputs * width.outputs) >= height.window * width.window) return false;
  if (height.padding == 0 && width.padding == 0) return true;
  const auto is_whole = [](const PoolAxis::Part& part, const PoolAxis& axis) {
    return part.end - part.begin == axis.window;
  };
  Index first = 0, last = width.outputs;  // outputs whose columns are whole
  while (first < last && !is_whole(width.part(first), width)) ++first;
  while (first < last && !is_whole(width.part(last - 1), width)) --last;
  for (Index row = 0; row < p.planes * height.outputs; ++row, places += width.outputs) {
    const PoolAxis::Part rows = height.part(row % height.outputs);
    const bool whole = is_whole(rows, height) && first < last;
    for (Index i = 0; i < width.outputs; i = whole && i + 1 == first ? last : i + 1) {
      if (!is_within(rows, places[i] / width.window) || !is_within(width.part(i), places[i] % width.window))
        return false;
    }
  }
  return true;
}

py::object max_pool2d(py::handle x_, const Pair& kernel, const Pair& stride, const Pair& padding, bool keep,
                      py::handle out) {
  const Array x = check(x_, "x");
  const Pooling p("x", x.shape, kernel, stride, padding);
  if (keep) p.check_places();
  Array like = x;
  like.shape = p.outputs;
  const Result y = result(out, like, {}, {&x});
  py::object index = py::none();
  std::uint8_t* places = nullptr;
  if (keep) {
    py::array bytes = new_array(p.outputs, py::dtype::of<std::uint8_t>());
    places = static_cast<std::uint8_t*>(bytes.mutable_data());
    index = bytes;
  }
  by_dtype(x, [&]<class T>(T) {
    run(kernels_for<T>().max_pool2d, MaxPool2dArgs<T>{.y = y.array.as<T>(), .index = places, .x = x.as<T>(),
                                                      .planes = p.planes, .height = p.height, .width = p.width});
  });
  return py::make_tuple(y.object, index);
}

py::object max_pool2d_backward(py::handle dy_, py::handle indices_, const Shape& input, const Pair& kernel,
                               const Pair& stride, const Pair& padding, py::handle out) {
  const Array given = check(dy_, "dy");
  const Pooling p("input_size", input, kernel, stride, padding);
  p.check_places();
  const Array dy = check(dy_, "dy", given, p.outputs);
  const Array indices = check_bytes(indices_, "indices", "max_pool2d(..., return_indices=True)", p.outputs);
  if (!are_places(indices.as<const std::uint8_t>(), p)) {
    throw py::value_error(
        "indices: got an index outside its window, want the indices from max_pool2d with these sizes; "
        "pass those that it returned");
  }
  Array like = dy;
  like.shape = input;
  const Result dx = result(out, like, {}, {&dy, &indices});
  by_dtype(dy, [&]<class T>(T) {
    run(kernels_for<T>().max_pool2d_backward, MaxPool2dBackwardArgs<T>{.dx = dx.array.as<T>(), .dy = dy.as<T>(),
                                                                       .index = indices.as<std::uint8_t>(),
                                                                       .planes = p.planes, .height = p.height,
                                                                       .width = p.width});
  });
  return dx.object;
}

}  // namespace

FASTNN_BINDINGS(max_pool2d, m) {
  using namespace py::literals;
  m.def("max_pool2d", &max_pool2d, "x"_a, "kernel_size"_a, "stride"_a, "padding"_a, "keep_indices"_a, "out"_a);
  m.def("max_pool2d_backward", &max_pool2d_backward, "dy"_a, "indices"_a, "input_size"_a, "kernel_size"_a, "stride"_a,
        "padding"_a, "out"_a);
}

}  // namespace fastnn
