// Optimizers. A step checks everything, then runs: a list of tensors is one kernel call per group and dtype.
#include <pybind11/stl.h>

#include <cmath>

#include "bind/register.h"
#include "bind/tensor_list.h"

namespace fastnn {
namespace {

template <class Segment>
Index end_of(const std::vector<Segment>& segments) {
  return segments.empty() ? 0 : segments.back().end;
}

// A step of any optimizer. `Rule` has Options, those of a parameter group, which begin with its number of parameters and
// come from Python as a Tuple; and step_group<T>(grads, first, last, options) for the parameters in [first, last).
template <class Rule>
void step_all(Rule& rule, TensorList& tensors, const py::sequence& given, const std::vector<typename Rule::Tuple>& groups) {
  const py::tuple held(given);  // the caller's list may change while the kernels run without the GIL
  const std::vector<const void*> grads = tensors.check_gradients(held);
  std::size_t first = 0;
  for (const auto& group : groups) {
    const auto options = std::apply([](auto... values) { return typename Rule::Options{values...}; }, group);
    rule.template step_group<float>(grads, first, first + options.size, options);
    rule.template step_group<double>(grads, first, first + options.size, options);
    first += options.size;
  }
}

class SGD {
 public:
  using Tuple = std::tuple<std::size_t, double, double, double, double, bool, bool>;
  struct Options {
    std::size_t size;
    double lr, momentum, dampening, weight_decay;
    bool nesterov, maximize;
  };

  SGD(const py::sequence& params, const py::sequence& velocities, const py::array_t<Index>& steps,
      py::array_t<Index> momentum_steps, const std::vector<std::string>& names)
      : tensors_(params, {velocities}, steps, names), momentum_steps_(std::move(momentum_steps)) {}

  void step(const py::sequence& grads, const std::vector<Tuple>& groups) { step_all(*this, tensors_, grads, groups); }

  template <class T>
  void step_group(const std::vector<const void*>& grads, std::size_t first, std::size_t last, const Options& o) {
    const bool has_velocity = o.momentum != 0;
    std::vector<SgdSegment<T>> segments;
    tensors_.for_each<T>(grads, first, last, [&](std::size_t i, const T* grad) {
      const Array& p = tensors_.param(i);
      tensors_.next_step(i);
      const bool fresh = has_velocity && momentum_steps_.mutable_data()[i]++ == 0;
      segments.push_back({p.as<T>(), has_velocity ? tensors_.state(0, i).as<T>() : nullptr, grad,
                          end_of(segments) + p.size, T(fresh ? 1 : 1 - o.dampening)});
    });
    if (segments.empty()) return;
    run(kernels_for<T>().sgd, SgdArgs<T>{segments.data(), Index(segments.size()), T(o.lr), T(o.momentum),
                                         T(o.weight_decay), T(o.maximize ? -1 : 1), has_velocity, o.nesterov});
  }

 private:
  TensorList tensors_;
  py::array_t<Index> momentum_steps_;
};

class Adam {
 public:
  using Tuple = std::tuple<std::size_t, double, double, double, double, double, bool, bool>;
  struct Options {
    std::size_t size;
    double lr, beta1, beta2, eps, weight_decay;
    bool decoupled, maximize;
  };

  Adam(const py::sequence& params, const py::sequence& exp_avgs, const py::sequence& exp_avg_sqs,
       const py::array_t<Index>& steps, const std::vector<std::string>& names)
      : tensors_(params, {exp_avgs, exp_avg_sqs}, steps, names) {}

  void step(const py::sequence& grads, const std::vector<Tuple>& groups) { step_all(*this, tensors_, grads, groups); }

  template <class T>
  void step_group(const std::vector<const void*>& grads, std::size_t first, std::size_t last, const Options& o) {
    Index known_step = 0;
    T step_size = 0, inverse_root = 0;
    std::vector<AdamSegment<T>> segments;
    tensors_.for_each<T>(grads, first, last, [&](std::size_t i, const T* grad) {
      const Index t = tensors_.next_step(i);
      if (t != known_step) {  // powers are dear, and nearly all parameters are at the same step
        known_step = t;
        step_size = T(o.lr / (1 - std::pow(o.beta1, double(t))));
        inverse_root = T(1 / std::sqrt(1 - std::pow(o.beta2, double(t))));
      }
      const Array& p = tensors_.param(i);
      segments.push_back({p.as<T>(), tensors_.state(0, i).as<T>(), tensors_.state(1, i).as<T>(), grad,
                          end_of(segments) + p.size, step_size, inverse_root});
    });
    if (segments.empty()) return;
    run(kernels_for<T>().adam,
        AdamArgs<T>{segments.data(), Index(segments.size()), T(o.beta1), T(o.beta2), T(1 - o.beta1), T(1 - o.beta2),
                    T(o.eps), T(o.decoupled ? 0 : o.weight_decay), T(o.decoupled ? 1 - o.lr * o.weight_decay : 1),
                    T(o.maximize ? -1 : 1)});
  }

 private:
  TensorList tensors_;
};

}  // namespace

void register_optim(py::module_& m) {
  using namespace py::literals;
  py::class_<SGD>(m, "SGD")
      .def(py::init<const py::sequence&, const py::sequence&, const py::array_t<Index>&, py::array_t<Index>,
                    const std::vector<std::string>&>(),
           "params"_a, "momentum_buffers"_a, "steps"_a, "momentum_steps"_a, "names"_a)
      .def("step", &SGD::step, "grads"_a, "groups"_a);
  py::class_<Adam>(m, "Adam")
      .def(py::init<const py::sequence&, const py::sequence&, const py::sequence&, const py::array_t<Index>&,
                    const std::vector<std::string>&>(),
           "params"_a, "exp_avgs"_a, "exp_avg_sqs"_a, "steps"_a, "names"_a)
      .def("step", &Adam::step, "grads"_a, "groups"_a);
}

}  // namespace fastnn
