#include "bind/loss.h"

#include <algorithm>
#include <cmath>

#include "bind/norm.h"
#include "bind/register.h"
#include "kernels/args/loss.h"
#include "runtime/memory.h"

namespace fastnn {

Reduction check_reduction(py::handle given, std::initializer_list<Reduction> known) {
  static constexpr const char* kNames[] = {"mean", "sum", "none", "batchmean"};
  std::string names;
  for (const Reduction r : known) {
    const char* name = kNames[std::size_t(r)];
    if (py::isinstance<py::str>(given) && given.cast<std::string>() == name) return r;
    names += std::string(names.empty() ? "'" : ", '") + name + "'";
  }
  throw py::value_error("reduction: got " + std::string(py::repr(given)) + ", want one of " + names);
}

namespace {

constexpr auto kUsual = {Reduction::mean, Reduction::sum, Reduction::none};

// A weight in the form that the kernel reads: a block of elements can be read from data + begin % period on.
template <class T>
struct Repeated {
  Index period, copied;
  Scratch<T> copy;
  const T* data;

  // All ones if `weight` is not given.
  Repeated(const Array& weight, Index size)
      : period(weight.given() ? weight.size : 1),
        copied(weight.given() && period == size ? 0 : std::min(size, period + kBlockElements)),
        copy(copied),
        data(copied ? copy.get() : weight.as<T>()) {
    for (Index i = 0; i < copied; ++i) copy.get()[i] = weight.given() ? weight.as<T>()[i % period] : T(1);
  }
};

// Checks for an array with the input's shape or its last axes.
Array check_trailing(py::handle object, const char* name, const Array& input) {
  if (object.is_none()) return {};
  Array a = check(object, name);
  const std::size_t axes = a.shape.size(), all = input.shape.size();
  const bool fits = axes <= all && std::equal(a.shape.begin(), a.shape.end(), input.shape.end() - std::ptrdiff_t(axes));
  if (!fits) {
    throw py::value_error(std::string(name) + ": got shape " + text(a.shape) + ", want " + text(input.shape) +
                          " or its last axes; reshape it, nothing is broadcast");
  }
  return check(object, name, input, a.shape);
}

struct LossCall {
  Array input, target, weight, pos_weight;
  Result dinput;
  Reduction reduction;
  double divisor;
  double delta = 0;
  bool log_target = false;
};

LossCall check_loss(py::handle input_, py::handle target_, py::handle weight_, py::handle pos_weight_,
                    Reduction reduction, py::handle out) {
  LossCall c;
  c.input = check(input_, "input");
  c.target = check(target_, "target", c.input, c.input.shape);
  c.weight = check_trailing(weight_, "weight", c.input);
  c.pos_weight = check_trailing(pos_weight_, "pos_weight", c.input);
  c.dinput = result(out, c.input, {&c.input}, {&c.target, &c.weight, &c.pos_weight});
  c.reduction = reduction;
  c.divisor = reduction == Reduction::mean ? double(c.input.size) : 1.0;
  return c;
}

// Returns (loss, dinput, number of elements); `kernel` takes the kernel from the table.
template <class Kernel>
py::tuple run_loss(const LossCall& c, Kernel kernel) {
  Losses losses(c.input, c.reduction);
  by_dtype(c.input, [&]<class T>(T) {
    LossArgs<T> args{.dinput = c.dinput.array.as<T>(), .losses = losses.each<T>(), .partial = losses.partial(),
                     .input = c.input.as<T>(), .target = c.target.as<T>(), .weight = nullptr, .pos_weight = nullptr,
                     .size = c.input.size, .weight_period = 1, .pos_weight_period = 1, .scale = 1 / c.divisor,
                     .delta = c.delta, .log_target = c.log_target};
    if (!c.weight.given() && !c.pos_weight.given()) return run(kernel(kernels_for<T>()), args);
    const Repeated<T> weight(c.weight, c.input.size), pos_weight(c.pos_weight, c.input.size);
    args.weight = weight.data, args.weight_period = weight.period;
    args.pos_weight = pos_weight.data, args.pos_weight_period = pos_weight.period;
    run(kernel(kernels_for<T>()), args);
  });
  return py::make_tuple(losses.reduced(c.divisor), c.dinput.object, c.input.size);
}

py::tuple mse_loss(py::handle input, py::handle target, py::handle reduction, py::handle out) {
  const LossCall c = check_loss(input, target, py::none(), py::none(), check_reduction(reduction, kUsual), out);
  return run_loss(c, [](const auto& table) { return table.mse_loss; });
}

py::tuple l1_loss(py::handle input, py::handle target, py::handle reduction, py::handle out) {
  const LossCall c = check_loss(input, target, py::none(), py::none(), check_reduction(reduction, kUsual), out);
  return run_loss(c, [](const auto& table) { return table.l1_loss; });
}

py::tuple huber_loss(py::handle input, py::handle target, py::handle reduction, double delta, py::handle out) {
  if (!(0 < delta && std::isfinite(delta))) {
    throw py::value_error("delta: got " + text(delta) + ", want a finite number > 0");
  }
  LossCall c = check_loss(input, target, py::none(), py::none(), check_reduction(reduction, kUsual), out);
  c.delta = delta;
  return run_loss(c, [](const auto& table) { return table.huber_loss; });
}

py::tuple smooth_l1_loss(py::handle input, py::handle target, py::handle reduction, double beta, py::handle out) {
  check_not_negative(beta, "beta");
  LossCall c = check_loss(input, target, py::none(), py::none(), check_reduction(reduction, kUsual), out);
  c.delta = beta;
  return run_loss(c, [](const auto& table) { return table.smooth_l1_loss; });
}

py::tuple binary_cross_entropy_with_logits(py::handle input, py::handle target, py::handle weight, py::handle reduction,
                                           py::handle pos_weight, py::handle out) {
  const LossCall c = check_loss(input, target, weight, pos_weight, check_reduction(reduction, kUsual), out);
  return run_loss(c, [](const auto& table) { return table.binary_cross_entropy_with_logits; });
}

py::tuple kl_div(py::handle input, py::handle target, py::handle reduction_, bool log_target, py::handle out) {
  const Reduction reduction = check_reduction(reduction_, {Reduction::mean, Reduction::sum, Reduction::none,
                                                            Reduction::batchmean});
  LossCall c = check_loss(input, target, py::none(), py::none(), reduction, out);
  if (reduction == Reduction::batchmean) {
    if (c.input.shape.empty())
      throw py::value_error("input: got shape (), want a batch axis for reduction 'batchmean'");
    c.divisor = std::max(double(c.input.shape[0]), 1.0);
  }
  c.log_target = log_target;
  return run_loss(c, [](const auto& table) { return table.kl_div; });
}

}  // namespace

FASTNN_BINDINGS(loss, m) {
  using namespace py::literals;
  m.def("mse_loss", &mse_loss, "input"_a, "target"_a, "reduction"_a, "out"_a);
  m.def("l1_loss", &l1_loss, "input"_a, "target"_a, "reduction"_a, "out"_a);
  m.def("huber_loss", &huber_loss, "input"_a, "target"_a, "reduction"_a, "delta"_a, "out"_a);
  m.def("smooth_l1_loss", &smooth_l1_loss, "input"_a, "target"_a, "reduction"_a, "beta"_a, "out"_a);
  m.def("binary_cross_entropy_with_logits", &binary_cross_entropy_with_logits, "input"_a, "target"_a, "weight"_a,
        "reduction"_a, "pos_weight"_a, "out"_a);
  m.def("kl_div", &kl_div, "input"_a, "target"_a, "reduction"_a, "log_target"_a, "out"_a);
}

}  // namespace fastnn
