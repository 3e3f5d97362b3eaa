// The tensors of an optimizer: parameters and their state, checked once, and what is known of their gradients. Parameters
// and gradients are NumPy arrays, or CPU tensors of a library that speaks DLPack.
#pragma once

#include "bind/arrays.h"
#include "bind/dlpack.h"

namespace fastnn {

enum class Element { float32, float64, bfloat16 };

// A tensor that may be read, or written in place: dense, C-contiguous, on the CPU.
struct Tensor {
  std::string name;
  py::handle object;
  char* data = nullptr;
  Index size = 0;
  Shape shape;
  Element element = Element::float32;

  Index bytes() const { return size * (element == Element::float64 ? 8 : element == Element::float32 ? 4 : 2); }
};

Tensor check_tensor(py::handle object, const std::string& name, Access access);

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
  const std::vector<void*>& check_gradients(const py::tuple& grads, bool zero);

  std::size_t size() const { return params_.size(); }
  const Tensor& param(std::size_t i) const { return params_[i]; }
  void* state(std::size_t kind, std::size_t i) const { return state_[kind][i].data; }
  float* scales(std::size_t kind, std::size_t i) const { return state_[kind][i].scales; }
  bool is_signed(std::size_t kind) const { return is_signed_[kind]; }

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
  void check_parameter(std::size_t i);
  void note_extents();
  void check_apart_from_all(const Tensor& grad) const;
  void check_gradients_apart() const;

  std::vector<Tensor> params_;
  std::vector<std::vector<State>> state_;
  std::vector<bool> is_signed_;
  std::vector<Extent> state_extents_, extents_;  // the latter of all that is written, in the order of addresses
  std::vector<void*> last_grads_, grads_;
  py::object owned_;  // keeps parameters and state alive
};

}  // namespace fastnn
