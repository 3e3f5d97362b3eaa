#include "bind/arrays.h"

namespace fastnn {
namespace {

using NumpyFlags = py::detail::npy_api;

std::string type_name(py::handle object) { return py::str(py::type::of(object).attr("__name__")); }

std::string dtype_name(bool is_double) { return is_double ? "float64" : "float32"; }

// The beginning of an error sentence, such as "x: got a list, want ".
std::string got(const std::string& name, const std::string& what) { return name + ": got " + what + ", want "; }

// The remedy for an object that is no array: sparse matrices and data frames have a method of their own, and of the former
// np.asarray would make one object.
std::string converted(py::handle object, const std::string& name, const std::string& dtype, const std::string& other) {
  for (const char* method : {"toarray", "to_numpy"}) {
    if (!py::isinstance<py::array>(object) && py::hasattr(object, method)) return "pass " + name + "." + method + "().astype(np." + dtype + ")";
  }
  return "convert it with np." + other + "(" + name + ", dtype=np." + dtype + ")";
}

// Kernels would read what is under the mask. Exact ndarrays, nearly all, cost one comparison.
void check_unmasked(py::handle array, const std::string& name) {
  if (!is_plain(array) && py::isinstance(array, py::module_::import("numpy.ma").attr("MaskedArray"))) {
    throw py::type_error(got(name, "a masked array") +
                         "an array without a mask; pass its .filled(value) or, for the valid elements, .compressed()");
  }
}

py::array check_kind(py::handle object, const std::string& name) {
  if (!py::isinstance<py::array>(object)) {
    throw py::type_error(got(name, type_name(object)) +
                         "a numpy.ndarray of float32 or float64; " + converted(object, name, "float32", "asarray"));
  }
  check_unmasked(object, name);
  auto array = py::reinterpret_borrow<py::array>(object);
  const int num = array.dtype().num();
  if ((num != NumpyFlags::NPY_FLOAT_ && num != NumpyFlags::NPY_DOUBLE_) || array.dtype().byteorder() != '=') {
    throw py::type_error(got(name, "dtype " + std::string(py::str(array.dtype()))) +
                         "native float32 or float64; convert it with " + name + ".astype(np.float32)");
  }
  return array;
}

void check_aligned(const py::array& array, const std::string& name) {
  if (!(array.flags() & NumpyFlags::NPY_ARRAY_ALIGNED_)) {
    throw py::value_error(got(name, "misaligned memory") + "an address that is a multiple of the item size; pass " +
                          name + ".copy()");
  }
}

void check_layout(const py::array& array, const std::string& name, Access access) {
  if (!(array.flags() & NumpyFlags::NPY_ARRAY_C_CONTIGUOUS_)) {
    throw py::value_error(got(name, "strided memory") + "C-contiguous memory, since nothing is copied silently; " +
                          (access == Access::write ? "allocate it with np.empty(shape, dtype)"
                                                   : "pass np.ascontiguousarray(" + name + ")"));
  }
  check_aligned(array, name);
  if (access == Access::write && !array.writeable()) {
    throw py::value_error(got(name, "a read-only array") + "a writable one, since it is changed in place; pass " +
                          name + ".copy() and use the copy");
  }
}

Array view(const py::array& array, const std::string& name) {
  const Shape shape(array.shape(), array.shape() + array.ndim());
  return {name, array, const_cast<void*>(array.data()), array.size(), shape, array.itemsize()};
}

bool overlap(const Array& a, const Array& b) {
  const char *a0 = static_cast<const char*>(a.data), *b0 = static_cast<const char*>(b.data);
  return a.size && b.size && a0 < b0 + b.bytes() && b0 < a0 + a.bytes();
}

void check_shape(const Array& a, const Shape& shape) {
  if (a.shape != shape) {
    throw py::value_error(got(a.name, "shape " + text(a.shape)) + text(shape) + "; reshape it, nothing is broadcast");
  }
}

template <class V>
Array check_exactly(py::handle object, const std::string& name, const std::string& want, Access access) {
  if (!py::isinstance<py::array>(object)) throw py::type_error(got(name, type_name(object)) + want);
  check_unmasked(object, name);
  const auto array = py::reinterpret_borrow<py::array>(object);
  if (!py::isinstance<py::array_t<V>>(array)) {
    throw py::type_error(got(name, "dtype " + std::string(py::str(array.dtype()))) + want);
  }
  check_layout(array, name, access);
  return view(array, name);
}

void check_dtype(const Array& a, bool is_double) {
  if (a.is_double() != is_double) {
    throw py::type_error(got(a.name, dtype_name(a.is_double())) + dtype_name(is_double) +
                         " like the rest; convert it with " + a.name + ".astype(np." + dtype_name(is_double) + ")");
  }
}

}  // namespace

bool is_plain(py::handle object) { return Py_TYPE(object.ptr()) == py::detail::npy_api::get().PyArray_Type_; }

std::string text(const Shape& shape) {
  std::string s = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) s += (i ? ", " : "") + std::to_string(shape[i]);
  return s + (shape.size() == 1 ? ",)" : ")");
}

Array check(py::handle object, const std::string& name, Access access) {
  const py::array array = check_kind(object, name);
  check_layout(array, name, access);
  return view(array, name);
}

Strided check_strided(py::handle object, const std::string& name) {
  const py::array array = check_kind(object, name);
  check_aligned(array, name);
  Strided s = {view(array, name), view(array, name), Shape(array.strides(), array.strides() + array.ndim())};
  py::ssize_t below = 0, above = 0;
  for (std::size_t axis = 0; axis < s.strides.size(); ++axis) {
    s.strides[axis] /= array.itemsize();
    (s.strides[axis] < 0 ? below : above) += (s.array.shape[axis] - 1) * s.strides[axis];
  }
  s.memory.data = static_cast<char*>(s.memory.data) + below * array.itemsize();
  s.memory.size = s.array.size ? above - below + 1 : 0;
  return s;
}

Strided check_strided(py::handle object, const std::string& name, const Array& like) {
  Strided strided = check_strided(object, name);
  check_dtype(strided.array, like.is_double());
  return strided;
}

Array check(py::handle object, const std::string& name, const Array& like, const Shape& shape, Access access) {
  Array a = check(object, name, access);
  check_dtype(a, like.is_double());
  check_shape(a, shape);
  return a;
}

Array check_optional(py::handle object, const std::string& name, const Array& like, const Shape& shape, Access access) {
  return object.is_none() ? Array{} : check(object, name, like, shape, access);
}

Array check_double(py::handle object, const std::string& name, const Shape& shape) {
  Array a = check(object, name);
  check_dtype(a, true);
  check_shape(a, shape);
  return a;
}

Array check_integers(py::handle object, const std::string& name, Access access) {
  return check_exactly<std::int64_t>(
      object, name, "C-contiguous int64; " + converted(object, name, "int64", "ascontiguousarray"), access);
}

Array check_bytes(py::handle object, const std::string& name, const std::string& from, const Shape& shape) {
  const std::string want = "C-contiguous uint8; pass what " + from + " returned";
  Array bytes = check_exactly<std::uint8_t>(object, name, want, Access::read);
  check_shape(bytes, shape);
  return bytes;
}

Array check_labels(py::handle object, const std::string& name, const Shape& shape) {
  const Array labels = check_integers(object, name);
  check_shape(labels, shape);
  return labels;
}

void check_apart(const Array& written, const Array& other) {
  if (overlap(written, other)) {
    throw py::value_error(got(written.name, "memory that overlaps " + other.name) +
                          "memory of its own; pass a copy of " + other.name);
  }
}

}  // namespace fastnn
