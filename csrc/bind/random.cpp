#include <cmath>

#include "bind/random.h"
#include "bind/register.h"
#include "bind/tensor.h"
#include "steps/quantile.h"

namespace fastnn {
namespace {

std::string text(double value) { return std::string(py::repr(py::float_(value))); }

double check_finite(double value, const char* name) {
  if (!std::isfinite(value)) throw py::value_error(std::string(name) + ": got " + text(value) + ", want a finite number");
  return value;
}

void check_order(double a, double b) {
  if (!(a <= b)) throw py::value_error("a: got " + text(a) + ", want at most b = " + text(b));
}

// shift + scale * value, at most `largest`.
template <class T>
void fill(void (*kernel)(const FillArgs<T>&) noexcept, const Array& y, const Place& at, T shift, T scale, T largest = 0) {
  run(kernel, FillArgs<T>{y.as<T>(), y.size, at.skip, at.random, shift, scale, largest});
}

void uniform(py::handle out, double low, double high, std::uint64_t seed, std::uint64_t stream, std::uint64_t offset) {
  const Array y = check(out, "tensor", Access::write);
  check_finite(low, "a");
  check_finite(high, "b");
  check_order(low, high);
  by_dtype(y, [&]<class T>(T) {
    const T a = T(low), b = T(high);
    if (!std::isfinite(b - a)) {
      throw py::value_error("b: got " + text(high) + ", want b - a within what the tensor's dtype can hold; use float64 or a "
                            "smaller interval");
    }
    fill(kernels_for<T>().uniform, y, place(seed, stream, offset, y.itemsize), a, b - a, a < b ? std::nextafter(b, a) : a);
  });
}

template <class T>
void check_held(double mean, double std) {
  if (std::isfinite(T(mean)) && std::isfinite(T(std))) return;
  throw py::value_error("std: got " + text(std) + " about " + text(mean) + ", want what the tensor's dtype can hold; use float64");
}

void normal(py::handle out, double mean, double std, std::uint64_t seed, std::uint64_t stream, std::uint64_t offset) {
  const Array y = check(out, "tensor", Access::write);
  check_finite(mean, "mean");
  check_not_negative(std, "std");
  by_dtype(y, [&]<class T>(T) {
    check_held<T>(mean, std);
    fill(kernels_for<T>().normal, y, place(seed, stream, offset, y.itemsize), T(mean), T(std));
  });
}

// The probabilities of less than x, and of more, and the first less 1/2.
struct Probabilities {
  double below, above, centre;
};

Probabilities probabilities(double x) {
  const double tail = normal_tail(std::fabs(x)).tail, centre = 0.5 * error_function(x * 0x1.6a09e667f3bcdp-1);
  return x < 0 ? Probabilities{tail, 1 - tail, centre} : Probabilities{1 - tail, tail, centre};
}

// Where an interval is as far from the middle as this, it is gone into from its end.
constexpr double kTail = 3;

template <class T>
void set_middle(TruncatedNormalArgs<T>& args, double alpha, double beta) {
  const Probabilities p = probabilities(alpha), q = probabilities(beta);
  const double width = beta < 0 ? q.below - p.below : alpha > 0 ? p.above - q.above : q.centre - p.centre;
  args.centre = T(p.centre);
  args.below = T(p.below);
  args.above = T(q.above);
  args.far = alpha < -kQuantileMiddle || beta > kQuantileMiddle;
  args.width = T(width * (sizeof(T) == 4 ? 0x1p-31 : 0x1p-53));
}

// `near` and `far` are the ends of the interval, z >= kTail at them.
template <class T>
void set_tail(TruncatedNormalArgs<T>& args, double near, double far) {
  args.in_tail = true;
  args.tail = {near, tail_over_bell(near)};
  const double ratio = std::isinf(far) ? 1 : tail_over_bell(far) / args.tail.over_bell;
  const double exponent = std::isinf(far) ? -1e9 : -0.5 * (far - near) * (far + near) + logarithm(ratio);
  args.share = -exponential_minus_one(exponent);
}

void truncated_normal(py::handle out, double mean, double std, double a, double b, std::uint64_t seed, std::uint64_t stream,
                      std::uint64_t offset) {
  const Array y = check(out, "tensor", Access::write);
  check_finite(mean, "mean");
  check_not_negative(std, "std");
  check_order(a, b);
  const bool constant = std == 0 && a <= mean && mean <= b;
  const double alpha = constant ? -INFINITY : (a - mean) / std, beta = constant ? INFINITY : (b - mean) / std;
  if (!(alpha < INFINITY && beta > -INFINITY)) {
    throw py::value_error("a: got [" + text(a) + ", " + text(b) + "], want an interval that a normal distribution about " +
                          text(mean) + " with std " + text(std) + " reaches");
  }
  by_dtype(y, [&]<class T>(T) {
    check_held<T>(mean, std);
    const Place at = place(seed, stream, offset, y.itemsize);
    TruncatedNormalArgs<T> args{};
    args.y = y.as<T>(), args.size = y.size, args.skip = at.skip, args.random = at.random;
    args.mean = T(mean), args.std = T(std), args.low = T(a), args.high = T(b);
    if (alpha >= kTail) {
      set_tail(args, alpha, beta);
      args.end = a, args.step = std;
    } else if (beta <= -kTail) {
      set_tail(args, -beta, -alpha);
      args.end = b, args.step = -std;
    } else {
      set_middle(args, alpha, beta);
    }
    run(kernels_for<T>().truncated_normal, args);
  });
}

void bernoulli(py::handle out, double p, std::uint64_t seed, std::uint64_t stream, std::uint64_t offset) {
  const Array y = check(out, "tensor", Access::write);
  check_range(p, "p", 0, 1);
  by_dtype(y, [&]<class T>(T) { fill(kernels_for<T>().bernoulli, y, place(seed, stream, offset, y.itemsize), T(0), T(p)); });
}

void fill_exponential(py::handle out, double lambd, std::uint64_t seed, std::uint64_t stream, std::uint64_t offset) {
  const Array y = check(out, "tensor", Access::write);
  by_dtype(y, [&]<class T>(T) {
    const T mean = T(1 / lambd);
    if (!(mean > 0 && std::isfinite(mean))) {
      throw py::value_error("lambd: got " + text(lambd) + ", want a positive number, whose inverse the tensor's dtype can hold");
    }
    fill(kernels_for<T>().exponential, y, place(seed, stream, offset, y.itemsize), T(0), mean);
  });
}

// A tensor of another library as an array that lies in its memory, and keeps it.
py::object writable(py::object tensor, const std::string& name) {
  const Tensor t = check_tensor(tensor, name, Access::write);
  if (py::isinstance<py::array>(tensor)) return tensor;
  if (t.element == Element::bfloat16) {
    throw py::type_error(name + ": got bfloat16, want float32 or float64; fill one of these and copy it");
  }
  const py::dtype dtype = t.element == Element::float64 ? py::dtype::of<double>() : py::dtype::of<float>();
  return py::array(dtype, t.shape, t.data, tensor);
}

}  // namespace

void register_random(py::module_& m) {
  using namespace py::literals;
  m.def("uniform", &uniform, "out"_a, "low"_a, "high"_a, "seed"_a, "stream"_a, "offset"_a);
  m.def("normal", &normal, "out"_a, "mean"_a, "std"_a, "seed"_a, "stream"_a, "offset"_a);
  m.def("truncated_normal", &truncated_normal, "out"_a, "mean"_a, "std"_a, "a"_a, "b"_a, "seed"_a, "stream"_a, "offset"_a);
  m.def("bernoulli", &bernoulli, "out"_a, "p"_a, "seed"_a, "stream"_a, "offset"_a);
  m.def("exponential", &fill_exponential, "out"_a, "lambd"_a, "seed"_a, "stream"_a, "offset"_a);
  m.def("writable", &writable, "tensor"_a, "name"_a);
}

}  // namespace fastnn
