#include <cmath>

#include "bind/arrays.h"
#include "bind/register.h"

namespace fastnn {
namespace {

double check_finite(double value, const char* name) {
  if (!std::isfinite(value)) {
    throw py::value_error(std::string(name) + ": got " + std::string(py::repr(py::float_(value))) + ", want a finite number");
  }
  return value;
}

void uniform(py::handle out, double low, double high, std::uint64_t seed, std::uint64_t stream, std::uint64_t block) {
  const Array y = check(out, "tensor", Access::write);
  check_finite(low, "a");
  check_finite(high, "b");
  if (low > high) {
    throw py::value_error("a: got " + std::string(py::repr(py::float_(low))) + ", want at most b = " +
                          std::string(py::repr(py::float_(high))));
  }
  by_dtype(y, [&]<class T>(T) {
    const T a = T(low), b = T(high);
    if (!std::isfinite(b - a)) {
      throw py::value_error("b: got " + std::string(py::repr(py::float_(high))) + ", want b - a within what the tensor's "
                            "dtype can hold; use float64 or a smaller interval");
    }
    run(kernels_for<T>().uniform,
        FillArgs<T>{y.as<T>(), y.size, {seed, stream, block}, a, b - a, a < b ? std::nextafter(b, a) : a});
  });
}

void normal(py::handle out, double mean, double std, std::uint64_t seed, std::uint64_t stream, std::uint64_t block) {
  const Array y = check(out, "tensor", Access::write);
  check_finite(mean, "mean");
  check_not_negative(std, "std");
  by_dtype(y, [&]<class T>(T) {
    if (!std::isfinite(T(mean)) || !std::isfinite(T(std))) {
      throw py::value_error("std: got " + std::string(py::repr(py::float_(std))) + " about " +
                            std::string(py::repr(py::float_(mean))) + ", want what the tensor's dtype can hold; use float64");
    }
    run(kernels_for<T>().normal, FillArgs<T>{y.as<T>(), y.size, {seed, stream, block}, T(mean), T(std), T(0)});
  });
}

py::array philox(std::uint64_t seed, std::uint64_t stream, std::uint64_t block, Index blocks) {
  py::array_t<std::uint32_t> words({blocks, Index(64)});
  kernel_table().philox(words.mutable_data(), {seed, stream, block}, blocks);
  return words;
}

}  // namespace

void register_random(py::module_& m) {
  using namespace py::literals;
  m.def("uniform", &uniform, "out"_a, "low"_a, "high"_a, "seed"_a, "stream"_a, "block"_a);
  m.def("normal", &normal, "out"_a, "mean"_a, "std"_a, "seed"_a, "stream"_a, "block"_a);
  m.def("philox", &philox, "seed"_a, "stream"_a, "block"_a, "blocks"_a);
}

}  // namespace fastnn
