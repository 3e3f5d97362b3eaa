// The tensors of an optimizer: parameters and their state, checked once, and what is known of their gradients.
#pragma once

#include <span>

#include "bind/arrays.h"

namespace fastnn {

class TensorList {
 public:
  // `state` has one list per kind of state, each as long as params, None where a parameter has none of it. `steps`
  // counts each parameter's steps, int64.
  TensorList(const py::sequence& params, const std::vector<py::sequence>& state, py::array_t<Index> steps,
             const std::vector<std::string>& names);

  // The gradients' memory, all of them checked; null for None, which leaves that parameter out of the step.
  std::vector<const void*> check_gradients(const py::sequence& grads);

  // f(i, gradient) for the parameters among [first, last) that have element type T and a gradient.
  template <class T, class F>
  void for_each(const std::vector<const void*>& grads, std::size_t first, std::size_t last, F f) const {
    for (std::size_t i = first; i < last; ++i) {
      if (grads[i] && params_[i].is_double() == (sizeof(T) == 8)) f(i, static_cast<const T*>(grads[i]));
    }
  }
  const Array& param(std::size_t i) const { return params_[i]; }
  const Array& state(std::size_t kind, std::size_t i) const { return state_[kind][i]; }
  // Counts one more step of parameter i and returns which one it is, from 1.
  Index next_step(std::size_t i) { return ++steps_[i]; }

 private:
  struct Extent {
    const char *begin, *end;
    const Array* owner;
  };

  const void* check_gradient(py::handle grad, std::size_t i);
  void check_apart_from_all(const Array& grad) const;

  std::vector<Array> params_;
  std::vector<std::vector<Array>> state_;
  std::vector<Extent> extents_;  // of all that is written, in the order of addresses
  std::vector<const void*> last_grads_;
  Index* steps_;
  py::object owned_;  // keeps parameters, state and step counts alive
};

}  // namespace fastnn
