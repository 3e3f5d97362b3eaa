// Allocates the results that arrays.h declares.
#include <functional>
#include <numeric>

#include "bind/arrays.h"
#include "runtime/memory.h"

namespace fastnn {

py::array new_array(const Shape& shape, bool is_double) {
  return new_array(shape, is_double ? py::dtype::of<double>() : py::dtype::of<float>());
}

py::array new_array(const Shape& shape, const py::dtype& dtype) {
  const auto bytes = std::accumulate(shape.begin(), shape.end(), std::size_t(dtype.itemsize()), std::multiplies<>());
  if (bytes < kLeastBlock) return py::array(dtype, shape);
  void* block = acquire_block(bytes);
  if (!block) throw std::bad_alloc();
  // The capsule's destructor releases the block; its context is the size of the block.
  const py::capsule owner(block, nullptr, [](PyObject* capsule) {
    release_block(PyCapsule_GetPointer(capsule, nullptr), reinterpret_cast<std::size_t>(PyCapsule_GetContext(capsule)));
  });
  PyCapsule_SetContext(owner.ptr(), reinterpret_cast<void*>(bytes));
  return py::array(dtype, shape, block, owner);
}

Result result(py::handle out, const Array& like, const std::vector<const Array*>& same,
              const std::vector<const Array*>& others) {
  if (out.is_none()) {
    py::array fresh = new_array(like.shape, like.is_double());
    return {fresh, check(fresh, "out", Access::write)};
  }
  Array a = check(out, "out", like, like.shape, Access::write);
  for (const Array* other : same) {
    if (a.data != other->data) check_apart(a, *other);
  }
  for (const Array* other : others) check_apart(a, *other);
  return {py::reinterpret_borrow<py::object>(out), a};
}

}  // namespace fastnn
