#include "bind/dlpack.h"

#include <unordered_map>

namespace fastnn {
namespace {

namespace py = pybind11;

// The table of functions that a tensor type may carry as __dlpack_c_exchange_api__: a view costs nanoseconds, no object.
struct ExchangeApi {
  std::uint32_t major, minor;
  const void* previous;
  void* allocate;
  void* export_managed;
  void* import_managed;
  int (*view)(void* object, DLTensor* out);
};

// Null for a type that has none. Types are kept, so that none of them is another one later at the same place.
const ExchangeApi* exchange_api(py::handle object) {
  static auto* known = new std::unordered_map<PyTypeObject*, const ExchangeApi*>;
  PyTypeObject* type = Py_TYPE(object.ptr());
  const auto found = known->find(type);
  if (found != known->end()) return found->second;
  const py::object capsule = py::getattr(reinterpret_cast<PyObject*>(type), "__dlpack_c_exchange_api__", py::none());
  const ExchangeApi* api = nullptr;
  if (PyCapsule_IsValid(capsule.ptr(), "dlpack_exchange_api")) {
    api = static_cast<const ExchangeApi*>(PyCapsule_GetPointer(capsule.ptr(), "dlpack_exchange_api"));
    if (api->major != 1) api = nullptr;
  }
  Py_INCREF(type);
  known->emplace(type, api);
  return api;
}

// Without that table: an exported capsule, which begins with the tensor. torch exports nothing that wants a gradient.
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
  if (!strides) return true;
  std::int64_t expected = 1;
  for (std::int32_t axis = ndim - 1; axis >= 0; --axis) {
    if (shape[axis] == 0) return true;
    if (shape[axis] != 1 && strides[axis] != expected) return false;
    expected *= shape[axis];
  }
  return true;
}

bool is_dlpack(py::handle object) {
  return exchange_api(object) || py::hasattr(py::type::of(object), "__dlpack__");
}

void view_dlpack(py::handle object, const std::function<void(const DLTensor&)>& look) {
  const ExchangeApi* api = exchange_api(object);
  if (!api) return view_capsule(object, look);
  DLTensor tensor;
  if (api->view(object.ptr(), &tensor) != 0) throw py::error_already_set();
  look(tensor);
}

}  // namespace fastnn
