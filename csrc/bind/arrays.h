// The argument checks of the Python bindings. The kernels trust every array that passes: a NumPy array of native
// float32 or float64 without a mask, C-contiguous, aligned, of the required shape, writable if the kernel writes it, and
// without overlap with the arrays that it must not share memory with. Every error says what was passed, what is wanted,
// and the remedy.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <string>
#include <vector>

#include "runtime/isa.h"

namespace fastnn {

namespace py = pybind11;
using Shape = std::vector<py::ssize_t>;

struct Array {
  std::string name;
  py::handle object;  // null for an optional argument that is None
  void* data = nullptr;
  py::ssize_t size = 0;
  Shape shape;
  py::ssize_t itemsize = 0;

  bool given() const { return bool(object); }
  bool is_double() const { return itemsize == 8; }
  py::ssize_t bytes() const { return size * itemsize; }
  template <class T>
  T* as() const {
    return static_cast<T*>(data);
  }
};

enum class Access { read, write };

// Returns whether the object is an ndarray and of no subclass.
bool is_plain(py::handle object);

// Checks for an array of float32 or float64.
Array check(py::handle object, const std::string& name, Access access = Access::read);

// Also checks that the array has the dtype of `like` and this shape.
Array check(py::handle object, const std::string& name, const Array& like, const Shape& shape,
            Access access = Access::read);

// The same; None is allowed and gives an empty Array.
Array check_optional(py::handle object, const std::string& name, const Array& like, const Shape& shape,
                     Access access = Access::read);

// An array that is only read, and may have any strides, which count elements.
struct Strided {
  Array array;
  Array memory;  // from the first element to the last, in the order of addresses
  Shape strides;
};
Strided check_strided(py::handle object, const std::string& name);
Strided check_strided(py::handle object, const std::string& name, const Array& like);  // of the dtype of `like`

// Checks for an array of float64, whatever the other arguments are: saved statistics.
Array check_double(py::handle object, const std::string& name, const Shape& shape);

// Checks for an array of uint8; errors say that `from` returns such an array.
Array check_bytes(py::handle object, const std::string& name, const std::string& from, const Shape& shape);

// Checks for an integer of 64 bits, which may be NumPy's or another object with __index__, but not a bool.
Index check_integer(py::handle object, const std::string& name, const std::string& want);

// Checks for an array of int64.
Array check_integers(py::handle object, const std::string& name, Access access = Access::read);

// Checks for int64 labels of this shape.
Array check_labels(py::handle object, const std::string& name, const Shape& shape);

// The array for a result: the caller's `out`, or a new array with the shape of `like`. `out` may be exactly one of
// `same`; it must not overlap the others, nor any of `others`.
struct Result {
  py::object object;
  Array array;
};
Result result(py::handle out, const Array& like, const std::vector<const Array*>& same,
              const std::vector<const Array*>& others = {});
py::array new_array(const Shape& shape, bool is_double);
py::array new_array(const Shape& shape, const py::dtype& dtype);

// Raises if the two share memory.
void check_apart(const Array& written, const Array& other);

// Raises unless low <= value <= high, so also for NaN.
double check_range(double value, const char* name, double low, double high);
double check_not_negative(double value, const char* name);  // nor infinite or NaN

// The value as Python writes it.
std::string text(const Shape& shape);
std::string text(double value);

// Calls f(T()) for the array's element type T.
template <class F>
auto by_dtype(const Array& array, F f) {
  return array.is_double() ? f(double()) : f(float());
}

// Runs a kernel of any family without the GIL. No guard object does this: if a daemon thread returns while the
// interpreter exits, the last line unwinds the thread, and a destructor would turn that into an abort.
template <class Args>
void run(void (*kernel)(const Args&) noexcept, const Args& args) {
  PyThreadState* state = PyEval_SaveThread();
  kernel(args);
  PyEval_RestoreThread(state);
}

}  // namespace fastnn
