// The tensors of an optimizer: parameters and their state, checked once, and what is known of their gradients. Parameters
// and gradients are NumPy arrays, or CPU tensors of a library that speaks DLPack.
#pragma once

#include "bind/tensor.h"
#include "calls/segments.h"

namespace fastnn {

// Of a kind of state, one array per parameter, None where a parameter has none of it; in bytes with scales for every 64.
struct StateArrays {
  py::sequence arrays, scales;
  bool is_signed;
};

class TensorList {
 public:
  TensorList(const py::sequence& params, const std::vector<std::string>& names, const std::vector<StateArrays>& state);

  // The gradients' memory, all of them and all parameters checked; null for None, which leaves that parameter out. With
  // `zero` they will be written.
  std::vector<void*> check_gradients(const py::tuple& grads, bool zero);

  // The parameters that have a gradient, and with `zero` the gradients too, but for NumPy's arrays.
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
  std::vector<Extent> state_extents_, extents_;  // the latter of all that is written, in the order of addresses
  std::vector<void*> last_grads_;
  bool last_apart_ = false;  // whether they were found apart from each other
  py::object owned_;  // keeps parameters and state alive
};

}  // namespace fastnn
