// The tensors that an optimizer accepts: NumPy arrays, and CPU tensors of a library that supports DLPack.
#pragma once

#include "bind/arrays.h"
#include "bind/dlpack.h"

namespace fastnn {

enum class Element { float32, float64, bfloat16 };
constexpr int kElements = 3;

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

const char* element_name(Element element);

Tensor check_tensor(py::handle object, const std::string& name, Access access);

// Returns whether the tensor still lies at the address `before`, with the shape and dtype of `like`. This is a quick
// check, which also returns false if finding out would take longer.
bool is_as_before(py::handle tensor, const Tensor& like, const void* before, Access access);

}  // namespace fastnn
