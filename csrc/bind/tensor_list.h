// The tensors of an optimizer: parameters and state, checked once, and what is remembered about their gradients.
// Parameters and gradients are NumPy arrays, or CPU tensors of a library that supports DLPack.
#pragma once

#include "bind/tensor.h"
#include "calls/segments.h"

namespace fastnn {

// One kind of state: an array per parameter, or None if the parameter has no state of this kind. Byte state also has a
// scale for every 64 elements.
struct StateArrays {
  py::sequence arrays, scales;
  bool is_signed;
};

class TensorList {
 public:
  // `coded_bytes` is the size of an element of coded state, and 0 if state is not coded.
  TensorList(const py::sequence& params, const std::vector<std::string>& names, const std::vector<StateArrays>& state,
             py::ssize_t coded_bytes);

  // Checks all parameters and gradients, and returns the memory of the gradients. None gives null, and that parameter
  // is left out. With `zero` the gradients must be writable.
  std::vector<void*> check_gradients(const py::tuple& grads, bool zero);

  // Returns the parameters that have a gradient, and with `zero` also the gradients, without NumPy arrays.
  py::list foreign(const py::tuple& grads, bool zero) const;

  const Tensor& param(std::size_t i) const { return params_[i]; }
  StateOf state(std::size_t kind, std::size_t i) const {
    return {state_[kind][i].data, state_[kind][i].scales, bool(is_signed_[kind])};
  }

 private:
  struct State {
    void* data = nullptr;
    float* scales = nullptr;
  };
  struct Extent {
    const char *begin, *end;
    std::string owner;
  };

  void* check_gradient(py::handle grad, std::size_t i, bool zero);
  void check_parameters();
  std::vector<Extent> extents_of(const std::vector<Tensor>& params) const;
  void check_apart_from_all(const Tensor& grad) const;
  void check_gradients_apart(const std::vector<void*>& grads) const;

  std::vector<Tensor> params_;
  std::vector<std::vector<State>> state_;
  std::vector<bool> is_signed_;
  std::vector<Extent> state_extents_, extents_;  // extents_ has all memory that is written, sorted by address
  std::vector<void*> last_grads_;
  bool last_apart_ = false;  // whether last_grads_ do not overlap each other
  py::object owned_;  // keeps parameters and state alive
};

}  // namespace fastnn
