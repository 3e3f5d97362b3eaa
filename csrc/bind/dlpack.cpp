#include "bind/dlpack.h"

#include <pybind11/numpy.h>

#include <algorithm>
#include <vector>

namespace fastnn {
namespace {

namespace py = pybind11;

// The function table that a tensor type may provide as __dlpack_c_exchange_api__. A view through it takes nanoseconds
// and creates no object.
struct ExchangeApi {
  std::uint32_t major, minor;
  const void* previous;
  void* allocate;
  void* export_managed;
  void* import_managed;
  int (*view)(void* object, DLTensor* out);
};

struct KnownType {
  PyTypeObject* type;
  const ExchangeApi* api;  // null for types without one, and for NumPy arrays, which know whether they are writable
};

// A program has few tensor types, so searching a list is fastest. The list holds references to the types, so that no
// other type can appear at the same address later.
const ExchangeApi* exchange_api(py::handle object) {
  static auto* known = new std::vector<KnownType>;
  PyTypeObject* type = Py_TYPE(object.ptr());
  for (const KnownType& k : *known) {
    if (k.type == type) return k.api;
  }
  const py::object capsule = py::getattr(reinterpret_cast<PyObject*>(type), "__dlpack_c_exchange_api__", py::none());
  const ExchangeApi* api = nullptr;
  if (!py::isinstance<py::array>(object) && PyCapsule_IsValid(capsule.ptr(), "dlpack_exchange_api")) {
    api = static_cast<const ExchangeApi*>(PyCapsule_GetPointer(capsule.ptr(), "dlpack_exchange_api"));
    if (api->major != 1) api = nullptr;
  }
  Py_INCREF(type);
  known->push_back({type, api});
  return api;
}

// The way without that table: an exported capsule, which begins with the tensor. torch does not export a tensor that
// requires a gradient, so it is detached.
void view_capsule(py::handle object, const std::function<void(const DLTensor&)>& look) {
  const bool torch = py::hasattr(object, "detach");
  const py::object exporter = torch ? py::object(object.attr("detach")()) : py::reinterpret_borrow<py::object>(object);
  const py::object capsule = exporter.attr("__dlpack__")();
  const void* managed = PyCapsule_GetPointer(capsule.ptr(), "dltensor");
  if (!managed) throw py::error_already_set();
  look(*static_cast<const DLTensor*>(managed));
}

}  // namespace

bool DLTensor::is_contiguous() const {
  if (!strides || std::find(shape, shape + ndim, 0) != shape + ndim) return true;
  std::int64_t expected = 1;
  for (std::int32_t axis = ndim - 1; axis >= 0; --axis) {
    if (shape[axis] != 1 && strides[axis] != expected) return false;
    expected *= shape[axis];
  }
  return true;
}

bool is_dlpack(py::handle object) { return exchange_api(object) || py::hasattr(py::type::of(object), "__dlpack__"); }

bool view_quickly(py::handle object, DLTensor& tensor) {
  const ExchangeApi* api = exchange_api(object);
  if (!api) return false;
  if (api->view(object.ptr(), &tensor) == 0) return true;
  PyErr_Clear();  // the slow way raises the reason
  return false;
}

void view_dlpack(py::handle object, const std::function<void(const DLTensor&)>& look) {
  DLTensor tensor;
  view_quickly(object, tensor) ? look(tensor) : view_capsule(object, look);
}

}  // namespace fastnn
