#include "bind/random.h"

#include <cmath>

#include "bind/register.h"
#include "bind/tensor.h"
#include "calls/fills.h"

namespace fastnn {
namespace {

double check_finite(double value, const char* name) {
  if (!std::isfinite(value))
    throw py::value_error(std::string(name) + ": got " + text(value) + ", want a finite number; pass 0, for example");
  return value;
}

void check_order(double a, double b) {
  if (!(a <= b)) throw py::value_error("a: got " + text(a) + ", want at most b = " + text(b) + "; choose a <= b");
}

void check_std(double std) {
  if (!(0 <= std && std::isfinite(std))) {
    throw py::value_error("std: got " + text(std) + ", want a finite number >= 0; pass 1, for example");
  }
}

// Fills y with shift + scale * value.
template <class T>
void fill(void (*kernel)(const FillArgs<T>&) noexcept, const Array& y, const Place& at, T shift, T scale) {
  run(kernel, FillArgs<T>{.y = y.as<T>(), .size = y.size, .skip = at.skip, .random = at.random, .shift = shift,
                          .scale = scale, .largest = 0});
}

void uniform(py::handle out, double low, double high, std::uint64_t seed, std::uint64_t stream, std::uint64_t offset) {
  const Array y = check(out, "tensor", Access::write);
  check_finite(low, "a");
  check_finite(high, "b");
  check_order(low, high);
  by_dtype(y, [&]<class T>(T) {
    const T a = T(low), b = T(high);
    if (!std::isfinite(b - a)) {
      throw py::value_error("b: got " + text(high) +
                            ", want b - a within the range of the tensor's dtype; use float64 or a smaller interval");
    }
    const Place at = place(seed, stream, offset, y.itemsize);
    run(kernels_for<T>().uniform, uniform_args(y.as<T>(), y.size, at.skip, at.random, a, b));
  });
}

template <class T>
void check_held(double mean, double std) {
  if (std::isfinite(T(mean)) && std::isfinite(T(std))) return;
  throw py::value_error("std: got " + text(std) + " with mean " + text(mean) +
                        ", want numbers that the tensor's dtype can hold; use float64");
}

void normal(py::handle out, double mean, double std, std::uint64_t seed, std::uint64_t stream, std::uint64_t offset) {
  const Array y = check(out, "tensor", Access::write);
  check_finite(mean, "mean");
  check_std(std);
  by_dtype(y, [&]<class T>(T) {
    check_held<T>(mean, std);
    fill(kernels_for<T>().normal, y, place(seed, stream, offset, y.itemsize), T(mean), T(std));
  });
}

void trunc_normal(py::handle out, double mean, double std, double a, double b, std::uint64_t seed, std::uint64_t stream,
                  std::uint64_t offset) {
  const Array y = check(out, "tensor", Access::write);
  check_finite(mean, "mean");
  check_std(std);
  check_order(a, b);
  if (!reaches(mean, std, a, b)) {
    throw py::value_error("a: got [" + text(a) + ", " + text(b) +
                          "], want an interval that a normal distribution with mean " + text(mean) + " and std " +
                          text(std) + " can reach; choose a <= mean <= b");
  }
  by_dtype(y, [&]<class T>(T) {
    check_held<T>(mean, std);
    const Place at = place(seed, stream, offset, y.itemsize);
    run(kernels_for<T>().trunc_normal, trunc_normal_args(y.as<T>(), y.size, at.skip, at.random, mean, std, a, b));
  });
}

void bernoulli(py::handle out, double p, std::uint64_t seed, std::uint64_t stream, std::uint64_t offset) {
  const Array y = check(out, "tensor", Access::write);
  if (!(0 <= p && p <= 1)) {
    throw py::value_error("p: got " + text(p) + ", want a number in [0, 1]; pass 0.5, for example");
  }
  by_dtype(
      y, [&]<class T>(T) { fill(kernels_for<T>().bernoulli, y, place(seed, stream, offset, y.itemsize), T(0), T(p)); });
}

void fill_exponential(py::handle out, double lambd, std::uint64_t seed, std::uint64_t stream, std::uint64_t offset) {
  const Array y = check(out, "tensor", Access::write);
  by_dtype(y, [&]<class T>(T) {
    const T mean = T(1 / lambd);
    if (!(mean > 0 && std::isfinite(mean))) {
      throw py::value_error("lambd: got " + text(lambd) +
                            ", want a positive number whose inverse the tensor's dtype can hold; pass 1, for example");
    }
    fill(kernels_for<T>().exponential, y, place(seed, stream, offset, y.itemsize), T(0), mean);
  });
}

// Returns a tensor of another library as an array that shares its memory and keeps it alive.
py::object writable(py::object tensor, const std::string& name) {
  const Tensor t = check_tensor(tensor, name, Access::write);
  if (py::isinstance<py::array>(tensor)) return tensor;
  if (t.element == Element::bfloat16) {
    throw py::type_error(name +
                         ": got bfloat16, want float32 or float64; fill a tensor of one of these dtypes and copy it");
  }
  const py::dtype dtype = t.element == Element::float64 ? py::dtype::of<double>() : py::dtype::of<float>();
  return py::array(dtype, t.shape, t.data, tensor);
}

}  // namespace

FASTNN_BINDINGS(random, m) {
  using namespace py::literals;
  m.def("uniform", &uniform, "out"_a, "low"_a, "high"_a, "seed"_a, "stream"_a, "offset"_a);
  m.def("normal", &normal, "out"_a, "mean"_a, "std"_a, "seed"_a, "stream"_a, "offset"_a);
  m.def("trunc_normal", &trunc_normal, "out"_a, "mean"_a, "std"_a, "a"_a, "b"_a, "seed"_a, "stream"_a, "offset"_a);
  m.def("bernoulli", &bernoulli, "out"_a, "p"_a, "seed"_a, "stream"_a, "offset"_a);
  m.def("exponential", &fill_exponential, "out"_a, "lambd"_a, "seed"_a, "stream"_a, "offset"_a);
  m.def("writable", &writable, "tensor"_a, "name"_a);
}

}  // namespace fastnn
