// Optimizers: load() checks, run() steps. Two calls, so that a step over several groups is refused as a whole.
#include <pybind11/stl.h>

#include <cmath>

#include "bind/register.h"
#include "bind/tensor_list.h"

namespace fastnn {
namespace {

template <class T>
Index end_of(const std::vector<T>& segments) {
  return segments.empty() ? 0 : segments.back().end;
}

class SGD {
 public:
  SGD(const py::sequence& params, const py::object& velocities, const py::array_t<Index>& steps,
      const std::vector<std::string>& names)
      : tensors_(params, velocities.is_none() ? std::vector<py::sequence>{} : std::vector<py::sequence>{velocities},
                 steps, names),
        has_velocity_(!velocities.is_none()) {}

  void load(const py::sequence& grads, double lr, double momentum, double dampening, double weight_decay, bool nesterov,
            bool maximize) {
    tensors_.load(grads);
    options_ = {lr, momentum, dampening, weight_decay, nesterov, maximize};
  }

  void run() {
    run_type<float>();
    run_type<double>();
    tensors_.unload();
  }

 private:
  struct Options {
    double lr, momentum, dampening, weight_decay;
    bool nesterov, maximize;
  };

  template <class T>
  void run_type() {
    std::vector<SgdSegment<T>> segments;
    tensors_.for_each_loaded<T>([&](std::size_t i, const T* grad) {
      const Array& p = tensors_.param(i);
      const bool first = tensors_.next_step(i) == 1;
      segments.push_back({p.as<T>(), has_velocity_ ? tensors_.state(0, i).as<T>() : nullptr, grad,
                          end_of(segments) + p.size, first ? T(1) : T(1 - options_.dampening)});
    });
    if (segments.empty()) return;
    const Options& o = options_;
    fastnn::run(kernels_for<T>().sgd, SgdArgs<T>{segments.data(), Index(segments.size()), T(o.lr), T(o.momentum),
                                                 T(o.weight_decay), T(o.maximize ? -1 : 1), has_velocity_, o.nesterov});
  }

  TensorList tensors_;
  bool has_velocity_;
  Options options_ = {};
};

class Adam {
 public:
  Adam(const py::sequence& params, const py::sequence& exp_avgs, const py::sequence& exp_avg_sqs,
       const py::array_t<Index>& steps, const std::vector<std::string>& names)
      : tensors_(params, {exp_avgs, exp_avg_sqs}, steps, names) {}

  void load(const py::sequence& grads, double lr, double beta1, double beta2, double eps, double weight_decay,
            bool decoupled, bool maximize) {
    tensors_.load(grads);
    options_ = {lr, beta1, beta2, eps, weight_decay, decoupled, maximize};
  }

  void run() {
    run_type<float>();
    run_type<double>();
    tensors_.unload();
  }

 private:
  struct Options {
    double lr, beta1, beta2, eps, weight_decay;
    bool decoupled, maximize;
  };

  template <class T>
  void run_type() {
    std::vector<AdamSegment<T>> segments;
    const Options& o = options_;
    Index known_step = 0;
    double step_size = 0, inverse_root = 0;
    tensors_.for_each_loaded<T>([&](std::size_t i, const T* grad) {
      const Array& p = tensors_.param(i);
      const Index t = tensors_.next_step(i);
      if (t != known_step) {  // powers are dear, and nearly all parameters are at the same step
        step_size = o.lr / (1 - std::pow(o.beta1, double(t)));
        inverse_root = 1 / std::sqrt(1 - std::pow(o.beta2, double(t)));
        known_step = t;
      }
      segments.push_back({p.as<T>(), tensors_.state(0, i).as<T>(), tensors_.state(1, i).as<T>(), grad,
                          end_of(segments) + p.size, T(step_size), T(inverse_root)});
    });
    if (segments.empty()) return;
    fastnn::run(kernels_for<T>().adam,
                AdamArgs<T>{segments.data(), Index(segments.size()), T(o.beta1), T(o.beta2), T(1 - o.beta1),
                            T(1 - o.beta2), T(o.eps), T(o.decoupled ? 0 : o.weight_decay),
                            T(o.decoupled ? 1 - o.lr * o.weight_decay : 1), T(o.maximize ? -1 : 1)});
  }

  TensorList tensors_;
  Options options_ = {};
};

}  // namespace

void register_optim(py::module_& m) {
  using namespace py::literals;
  py::class_<SGD>(m, "SGD")
      .def(py::init<const py::sequence&, const py::object&, const py::array_t<Index>&, const std::vector<std::string>&>(),
           "params"_a, "momentum_buffers"_a, "steps"_a, "names"_a)
      .def("load", &SGD::load, "grads"_a, "lr"_a, "momentum"_a, "dampening"_a, "weight_decay"_a, "nesterov"_a,
           "maximize"_a)
      .def("run", &SGD::run);
  py::class_<Adam>(m, "Adam")
      .def(py::init<const py::sequence&, const py::sequence&, const py::sequence&, const py::array_t<Index>&,
                    const std::vector<std::string>&>(),
           "params"_a, "exp_avgs"_a, "exp_avg_sqs"_a, "steps"_a, "names"_a)
      .def("load", &Adam::load, "grads"_a, "lr"_a, "beta1"_a, "beta2"_a, "eps"_a, "weight_decay"_a, "decoupled"_a,
           "maximize"_a)
      .def("run", &Adam::run);
}

}  // namespace fastnn
