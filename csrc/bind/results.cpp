// Allocates the results that arrays.h declares.
#include <cstdlib>
#include <functional>
#include <numeric>

#include "bind/arrays.h"
#include "runtime/memory.h"

namespace fastnn {
namespace {

// NumPy aligns its memory to 16 bytes, so that every second 64-byte vector lies on two cache lines: an AdamW step of 40
// tensors of 10,000 elements took 400 us so, and 200 with all memory aligned to lines (Zen 4, one thread). Below this
// number of bytes the time for an owner exceeds that.
constexpr std::size_t kLine = 64, kLeastAligned = 1024;

py::array over(const Shape& shape, const py::dtype& dtype, void* memory, std::size_t bytes,
               PyCapsule_Destructor release) {
  if (!memory) throw std::bad_alloc();
  const py::capsule owner(memory, nullptr, release);
  PyCapsule_SetContext(owner.ptr(), reinterpret_cast<void*>(bytes));
  return py::array(dtype, shape, memory, owner);
}

}  // namespace

py::array new_array(const Shape& shape, bool is_double) {
  return new_array(shape, is_double ? py::dtype::of<double>() : py::dtype::of<float>());
}

py::array new_array(const Shape& shape, const py::dtype& dtype) {
  const auto bytes = std::accumulate(shape.begin(), shape.end(), std::size_t(dtype.itemsize()), std::multiplies<>());
  if (bytes < kLeastAligned) return py::array(dtype, shape);
  if (bytes < kLeastBlock) {
    return over(shape, dtype, std::aligned_alloc(kLine, (bytes + kLine - 1) / kLine * kLine), bytes,
                [](PyObject* capsule) { std::free(PyCapsule_GetPointer(capsule, nullptr)); });
  }
  return over(shape, dtype, acquire_block(bytes), bytes, [](PyObject* capsule) {
    release_block(PyCapsule_GetPointer(capsule, nullptr), reinterpret_cast<std::size_t>(PyCapsule_GetContext(capsule)));
  });
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
