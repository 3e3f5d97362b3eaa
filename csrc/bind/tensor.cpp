#include "bind/tensor.h"

#include <algorithm>
#include <numeric>

namespace fastnn {
namespace {

bool is_element(const DLTensor& t, Element element) {
  const bool brain = element == Element::bfloat16;
  return t.code == (brain ? DLTensor::kBfloat : DLTensor::kFloat) && t.lanes == 1 &&
         t.bits == (brain                         ? 16
                    : element == Element::float64 ? 64
                                                  : 32);
}

Element check_view(const DLTensor& t, const std::string& name) {
  if (t.device_type != DLTensor::kCpu) {
    throw py::type_error(name + ": got a tensor on another device, want one in the CPU's memory; move it with .cpu()");
  }
  if (!t.is_contiguous()) {
    throw py::value_error(name +
                          ": got strided memory, want C-contiguous memory, since nothing is copied silently; call "
                          ".contiguous()");
  }
  if (!t.data && std::find(t.shape, t.shape + t.ndim, 0) == t.shape + t.ndim) {
    throw py::type_error(name +
                         ": got a tensor without memory of its own, want a plain one; pass the wrapper's inner tensor");
  }
  for (Element element : {Element::float32, Element::float64, Element::bfloat16}) {
    if (is_element(t, element)) return element;
  }
  throw py::type_error(name +
                       ": got a tensor of another dtype, want float32, float64 or bfloat16; convert it with .float()");
}

bool is_array_as_before(py::handle array, const Tensor& like, const void* before, Access access) {
  using Flags = py::detail::npy_api;
  const auto* a = py::detail::array_proxy(array.ptr());
  const int plain = Flags::NPY_ARRAY_C_CONTIGUOUS_ | Flags::NPY_ARRAY_ALIGNED_ |
                    (access == Access::write ? Flags::NPY_ARRAY_WRITEABLE_ : 0);
  return py::isinstance<py::array>(like.object) && a->data == before &&
         a->descr == py::detail::array_proxy(like.object.ptr())->descr && (a->flags & plain) == plain &&
         std::equal(like.shape.begin(), like.shape.end(), a->dimensions, a->dimensions + a->nd);
}

}  // namespace

const char* element_name(Element element) {
  return element == Element::float32 ? "float32" : element == Element::float64 ? "float64" : "bfloat16";
}

Tensor check_tensor(py::handle object, const std::string& name, Access access) {
  if (py::isinstance<py::array>(object) || !is_dlpack(object)) {
    const Array a = check(object, name, access);
    return {name, object, a.as<char>(), a.size, a.shape, a.is_double() ? Element::float64 : Element::float32};
  }
  if (py::hasattr(object, "is_neg") && object.attr("is_neg")().cast<bool>()) {
    throw py::type_error(name +
                         ": got a tensor with its negative bit set, want plain memory; use .resolve_neg()");
  }
  Tensor tensor;
  try {
    view_dlpack(object, [&](const DLTensor& t) {
      const Element element = check_view(t, name);
      const Shape shape(t.shape, t.shape + t.ndim);
      const Index size = std::accumulate(shape.begin(), shape.end(), Index(1), std::multiplies<>());
      tensor = {name, object, static_cast<char*>(t.begin()), size, shape, element};
    });
  } catch (py::error_already_set& error) {
    const std::string why = error.what();
    throw py::type_error(name + ": got a tensor that is not plain memory (" + why.substr(0, why.find('\n')) +
                         "), want a dense CPU tensor; use .to_dense() or .cpu()");
  }
  return tensor;
}

bool is_as_before(py::handle tensor, const Tensor& like, const void* before, Access access) {
  DLTensor t;
  if (!view_quickly(tensor, t))
    return is_plain(tensor) && is_array_as_before(tensor, like, before, access);
  return t.begin() == before && t.device_type == DLTensor::kCpu && is_element(t, like.element) &&
         std::equal(like.shape.begin(), like.shape.end(), t.shape, t.shape + t.ndim) && t.is_contiguous();
}

}  // namespace fastnn
