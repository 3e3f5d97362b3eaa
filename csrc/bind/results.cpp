// Allocates the results that arrays.h declares.
#include <cstdint>
#include <functional>
#include <numeric>

#include "bind/arrays.h"
#include "runtime/memory.h"

namespace fastnn {
namespace {

// NumPy aligns its memory to 16 bytes, so that every second 64-byte vector lies on two cache lines: an AdamW step of 40
// tensors of 10,000 elements took 400 us so, and 200 with all memory aligned to lines (Zen 4, one thread). Below this
// number of bytes the time for an owner exceeds that.
constexpr std::size_t kLine = 64, kLeastAligned = 2048;

py::array aligned(const Shape& shape, const py::dtype& dtype, std::size_t bytes) {
  const py::array room(py::dtype::of<std::uint8_t>(), py::ssize_t(bytes + kLine - 1));
  const auto begin = reinterpret_cast<std::uintptr_t>(room.data());
  return py::array(dtype, shape, reinterpret_cast<void*>((begin + kLine - 1) / kLine * kLine), room);
}

}  // namespace

py::array new_array(const Shape& shape, bool is_double) {
  return new_array(shape, is_double ? py::dtype::of<double>() : py::dtype::of<float>());
}

py::array new_array(const Shape& shape, const py::dtype& dtype) {
  const auto bytes = std::accumulate(shape.begin(), shape.end(), std::size_t(dtype.itemsize()), std::multiplies<>());
  if (bytes < kLeastAligned) return py::array(dtype, shape);
  if (bytes < kLeastBlock) return aligned(shape, dtype, bytes);
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
