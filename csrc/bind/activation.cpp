#include <cmath>
#include <iterator>

#include "bind/activation_kind.h"
#include "bind/register.h"

namespace fastnn {
namespace {

constexpr ActivationKind kKinds[] = {
#define FASTNN_ACTIVATION(name, NAME, Step, from_output, option, initial) \
  {Activation::name, #name, from_output, option, initial},
#include "steps/activations.inc"
};

std::string got(const char* name, double value) { return std::string(name) + ": got " + text(value) + ", want "; }

void check_finite(const char* name, double value, const Array& like) {
  if (std::isfinite(value) && (like.is_double() || std::isfinite(float(value)))) return;
  throw py::value_error(got(name, value) + "a finite number that the array's dtype can hold");
}

py::object activation(py::handle x_, const std::string& name, double first, double threshold, py::handle out) {
  const ActivationKind& kind = activation_kind(name);
  const Array x = check(x_, "x");
  check_options(kind, kind.option, first, threshold, x);
  const Result y = result(out, x, {&x});
  by_dtype(x, [&]<class T>(T) {
    run(kernels_for<T>().activation, ActivationArgs<T>{.y = y.array.as<T>(), .x = x.as<T>(), .dy = nullptr,
                                                       .size = x.size, .kind = kind.kind,
                                                       .options = {T(first), T(threshold)}});
  });
  return y.object;
}

py::object activation_backward(py::handle dy_, py::handle at_, const std::string& name, double first, double threshold,
                               py::handle out) {
  const ActivationKind& kind = activation_kind(name);
  const Array at = check(at_, kind.from_output ? "y" : "x");
  const Array dy = check(dy_, "dy", at, at.shape);
  check_options(kind, kind.option, first, threshold, at);
  const Result dx = result(out, at, {&dy, &at});
  by_dtype(at, [&]<class T>(T) {
    run(kernels_for<T>().activation_backward, ActivationArgs<T>{.y = dx.array.as<T>(), .x = at.as<T>(),
                                                                .dy = dy.as<T>(), .size = at.size, .kind = kind.kind,
                                                                .options = {T(first), T(threshold)}});
  });
  return dx.object;
}

py::object elementary(const std::string& name, py::handle x_) {
  constexpr const char* kNames[] = {"exp", "log", "tanh", "erf"};
  int kind = 0;
  while (kind < int(std::size(kNames)) && name != kNames[kind]) ++kind;
  if (kind == int(std::size(kNames))) throw py::value_error("name: got '" + name + "', want exp, log, tanh or erf");
  const Array x = check(x_, "x");
  const Result y = result(py::none(), x, {});
  by_dtype(x, [&]<class T>(T) {
    run(kernels_for<T>().elementary,
        ElementaryArgs<T>{.y = y.array.as<T>(), .x = x.as<T>(), .size = x.size, .kind = Elementary(kind)});
  });
  return y.object;
}

}  // namespace

const ActivationKind& activation_kind(const std::string& name) {
  std::string names;
  for (const ActivationKind& kind : kKinds) {
    if (name == kind.name) return kind;
    names += (names.empty() ? "" : ", ") + std::string(kind.name);
  }
  throw py::value_error("activation: got '" + name + "', want one of " + names);
}

void check_options(const ActivationKind& kind, const char* name, double first, double threshold, const Array& like) {
  if (!kind.option) return;
  check_finite(name, first, like);
  if (kind.kind != Activation::softplus) return;
  if (!(first > 0)) throw py::value_error(got(name, first) + "a number > 0");
  check_finite("threshold", threshold, like);
}

FASTNN_BINDINGS(activation, m) {
  using namespace py::literals;
  m.def("activation", &activation, "x"_a, "name"_a, "option"_a, "threshold"_a, "out"_a);
  m.def("activation_backward", &activation_backward, "dy"_a, "at"_a, "name"_a, "option"_a, "threshold"_a, "out"_a);
  m.def("elementary", &elementary, "name"_a, "x"_a);
}

}  // namespace fastnn
