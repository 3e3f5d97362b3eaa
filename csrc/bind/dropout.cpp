#include <cmath>

#include "bind/arrays.h"
#include "bind/register.h"

namespace fastnn {
namespace {

constexpr char kX[] = "x", kDy[] = "dy";

// Forward and backward are one function; `name` is the argument's in sentences.
template <const char* name>
py::object dropout(py::handle x_, double p, std::uint64_t seed, std::uint64_t stream, std::uint64_t block,
                   py::handle out) {
  const Array x = check(x_, name);
  check_range(p, "p", 0, 1);
  const Result y = result(out, x, {&x});
  const auto threshold = std::uint32_t(std::lround(p * 65536));
  by_dtype(x, [&]<class T>(T) {
    const T scale = p < 1 ? T(1 / (1 - p)) : T(0);
    run(kernels_for<T>().dropout,
        DropoutArgs<T>{y.array.as<T>(), x.as<T>(), x.size, {seed, stream, block}, threshold, scale});
  });
  return y.object;
}

}  // namespace

void register_dropout(py::module_& m) {
  using namespace py::literals;
  m.def("dropout", &dropout<kX>, "x"_a, "p"_a, "seed"_a, "stream"_a, "block"_a, "out"_a);
  m.def("dropout_backward", &dropout<kDy>, "dy"_a, "p"_a, "seed"_a, "stream"_a, "block"_a, "out"_a);
}

}  // namespace fastnn
