// Optimizers. A step checks everything before it changes anything. All parameters of a dtype, in all groups, are one
// kernel call.
#include <pybind11/stl.h>

#include <optional>
#include <stdexcept>

#include "bind/gradients.h"
#include "bind/group.h"
#include "bind/register.h"
#include "calls/segments.h"

namespace fastnn {
namespace {

enum class StateDtype { plain, bfloat16, int8 };

// A float64 per parameter, each with memory of its own: exact up to 2^53.
class Numbers {
 public:
  Numbers(const py::sequence& arrays, const std::vector<std::string>& names) : owned_(arrays) {
    for (std::size_t i = 0; i < names.size(); ++i) {
      const Array a = check(owned_[i], "numbers of " + names[i], Access::write);
      if (a.size != 1 || !a.is_double()) throw py::value_error(a.name + ": want one float64");
      places_.push_back(a.as<double>());
    }
  }
  double& operator[](std::size_t i) { return *places_[i]; }

 private:
  py::tuple owned_;
  std::vector<double*> places_;
};

// `kernels` is the optimizer's member of the table.
template <class R, auto kernels>
class Stepper {
 public:
  using State = std::vector<std::tuple<py::sequence, py::sequence, bool>>;

  // `sizes` are the numbers of parameters in the groups. `steps` and `memory` have for each parameter an array of one
  // float64, the number of its steps and the number that the rule remembers, which a step reads and writes.
  Stepper(const py::sequence& params, const std::vector<std::string>& names, std::vector<std::size_t> sizes,
          const State& state, const py::sequence& steps, const py::sequence& memory, const std::string& state_dtype)
      : tensors_(params, names, of(state), state_dtype == "int8" ? 1 : state_dtype == "bfloat16" ? 2 : 0),
        sizes_(std::move(sizes)),
        steps_(steps, names),
        memory_(memory, names),
        state_dtype_(state_dtype == "int8"       ? StateDtype::int8
                     : state_dtype == "bfloat16" ? StateDtype::bfloat16
                                                 : StateDtype::plain) {}

  // Returns the norm of the gradients if max_norm is given; if it is not finite, nothing changes. Before anything is
  // written, announce(list) gets the tensors that will be, except NumPy arrays and the state: their objects are still
  // in the cache then, and no longer after the kernels.
  std::optional<double> step(const py::tuple& grads, const py::sequence& groups, std::optional<double> max_norm,
                             bool zero_grad, std::uint64_t seed, std::uint64_t stream, std::uint64_t block,
                             const py::object& announce) {
    if (busy_) throw std::runtime_error("optimizer: got a step while another thread is in one, want one at a time");
    const Busy busy(busy_);
    const std::vector<void*> found = tensors_.check_gradients(grads, zero_grad);
    double scale = 1;
    std::optional<double> norm;
    if (max_norm) {
      norm = norm_of(found);
      if (!std::isfinite(*norm)) return norm;
      scale = clip_factor(*norm, *max_norm);
    }
    std::vector<R> rules;
    for (py::handle group : groups) rules.emplace_back(Group(group));
    const py::list written = tensors_.foreign(grads, zero_grad);
    if (!written.empty()) announce(written);
    const Philox random = {seed, stream, block};
    const auto& k = kernel_table().*kernels;
    const auto low = state_dtype_ == StateDtype::int8       ? k.int8_state
                     : state_dtype_ == StateDtype::bfloat16 ? k.bf16_state
                                                            : k.f32;
    step_element<float>(low, Element::float32, found, rules, scale, zero_grad, random);
    step_element<float>(k.bf16_params, Element::bfloat16, found, rules, scale, zero_grad, random);
    step_element<double>(k.f64, Element::float64, found, rules, scale, zero_grad, random);
    return norm;
  }

 private:
  // The kernels run without the GIL; the flag is read and set while holding it.
  class Busy {
   public:
    explicit Busy(bool& flag) : flag_(flag) { flag_ = true; }
    ~Busy() { flag_ = false; }
    Busy(const Busy&) = delete;

   private:
    bool& flag_;
  };

  static std::vector<StateArrays> of(const State& state) {
    std::vector<StateArrays> kinds;
    for (const auto& [arrays, scales, is_signed] : state) kinds.push_back({arrays, scales, is_signed});
    return kinds;
  }

  double norm_of(const std::vector<void*>& grads) const {
    Gradients list;
    for (std::size_t i = 0; i < grads.size(); ++i) {
      if (grads[i]) list.add(tensors_.param(i).element, grads[i], tensors_.param(i).size);
    }
    return std::sqrt(list.sum_squares());
  }

  // Makes one kernel call for all parameters that have this element type and a gradient.
  template <class T, class Constants>
  void step_element(void (*kernel)(const StepArgs<Constants>&) noexcept, Element element,
                    const std::vector<void*>& grads, const std::vector<R>& rules, double scale, bool zero_grad,
                    const Philox& random) {
    std::size_t most = 0;
    for (std::size_t i = 0; i < grads.size(); ++i) most += grads[i] && tensors_.param(i).element == element;
    if (most == 0) return;
    std::vector<StepSegment<Constants>> memory(most);
    SegmentList<StepSegment<Constants>> list(memory.data());
    std::vector<Constants> constants;
    constants.reserve(most);  // segments point to its elements
    std::size_t first = 0;
    for (std::size_t g = 0; g < rules.size(); first += sizes_[g++]) {
      Moment known = {0, 0, 0};
      for (std::size_t i = first; i < first + sizes_[g]; ++i) {
        const Tensor& p = tensors_.param(i);
        if (!grads[i] || p.element != element) continue;
        steps_[i] += 1;
        Moment m = {Index(steps_[i]), memory_[i], 0};
        if (m.t != known.t || m.before != known.before) {  // nearly all parameters are at the same step
          m.after = rules[g].remember(m.before, m.t);
          known = m;
          constants.push_back(rules[g].template constants<T>(scale, m));
        }
        memory_[i] = known.after;
        add_parameter(list, p.data, grads[i], p.size, constants.back(), rules[g].kinds(),
                      [=, this](int kind) { return tensors_.state(std::size_t(kind), i); });
      }
    }
    run(kernel,
        StepArgs<Constants>{.segments = list.get(), .count = list.count(), .random = random, .zero_grad = zero_grad});
  }

  TensorList tensors_;
  std::vector<std::size_t> sizes_;
  Numbers steps_, memory_;
  StateDtype state_dtype_;
  bool busy_ = false;
};

template <class R, auto kernels>
void bind_rule(py::module_& m, const char* name) {
  using namespace py::literals;
  using S = Stepper<R, kernels>;
  py::class_<S>(m, name)
      .def(py::init<const py::sequence&, const std::vector<std::string>&, std::vector<std::size_t>,
                    const typename S::State&, const py::sequence&, const py::sequence&, const std::string&>(),
           "params"_a, "names"_a, "sizes"_a, "state"_a, "steps"_a, "memory"_a, "state_dtype"_a)
      .def("step", &S::step, "grads"_a, "groups"_a, "max_norm"_a, "zero_grad"_a, "seed"_a, "stream"_a, "block"_a,
           "announce"_a);
}

}  // namespace

FASTNN_BINDINGS(optim, m) {
#define FASTNN_OPTIMIZER(name, Name, python) bind_rule<Name##Rule, &Table::name>(m, #python);
#include "kernels/kernels.inc"
}

}  // namespace fastnn
