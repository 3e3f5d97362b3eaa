// The border between Python and the kernels. What passes here is right, so that nothing behind it has to look: a
// NumPy array of native float32 or float64, C-contiguous, aligned, of the shape wanted, writable where it is written,
// and apart from what it must not overlap. Every sentence says what came, what is wanted, and the remedy.
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

// Of float32 or float64.
Array check(py::handle object, const std::string& name, Access access = Access::read);

// Of the dtype of `like` and of this shape.
Array check(py::handle object, const std::string& name, const Array& like, const Shape& shape,
            Access access = Access::read);

// The same, or not given.
Array check_optional(py::handle object, const std::string& name, const Array& like, const Shape& shape,
                     Access access = Access::read);

// Float64 whatever the other arguments are: saved statistics.
Array check_double(py::handle object, const std::string& name, const Shape& shape);

// Of bytes; `from` says where such an array is from.
Array check_bytes(py::handle object, const std::string& name, const std::string& from, const Shape& shape);

// Of int64.
Array check_integers(py::handle object, const std::string& name, Access access = Access::read);

// One class per row, int64.
Array check_labels(py::handle object, const std::string& name, py::ssize_t rows);

// The labels, each in [0, classes), or -1 where it is `ignored`: a copy, since an index must not change between this check
// and its use.
std::vector<std::int64_t> copy_labels(const Array& labels, py::ssize_t classes, std::int64_t ignored);

// Where a result goes: the caller's `out`, or a new array shaped like `like`. `out` may be one of `same` entirely,
// and must be apart from those and from all of `others`.
struct Result {
  py::object object;
  Array array;
};
Result result(py::handle out, const Array& like, const std::vector<const Array*>& same,
              const std::vector<const Array*>& others = {});
py::array new_array(const Shape& shape, bool is_double);
py::array new_array(const Shape& shape, const py::dtype& dtype);

// Neither shares memory with the other.
void check_apart(const Array& written, const Array& other);

// A number between low and high, both included; NaN never is.
double check_range(double value, const char* name, double low, double high);
double check_not_negative(double value, const char* name);  // and finite

// As Python writes it.
std::string text(const Shape& shape);
std::string text(double value);

// f(T()) for the array's element type.
template <class F>
auto by_dtype(const Array& array, F f) {
  return array.is_double() ? f(double()) : f(float());
}

// A kernel of any family, without the GIL. Not by a guard object: a daemon thread that comes back while the interpreter
// ends is unwound out of the last line, which a destructor would turn into an abort.
template <class Args>
void run(void (*kernel)(const Args&) noexcept, const Args& args) {
  PyThreadState* state = PyEval_SaveThread();
  kernel(args);
  PyEval_RestoreThread(state);
}

}  // namespace fastnn
