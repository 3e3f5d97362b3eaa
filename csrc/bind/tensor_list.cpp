#include "bind/tensor_list.h"

#include <algorithm>
#include <numeric>

namespace fastnn {
namespace {

const char* element_name(Element element) {
  return element == Element::float32 ? "float32" : element == Element::float64 ? "float64" : "bfloat16";
}

bool is_element(const DLTensor& t, Element element) {
  const bool brain = element == Element::bfloat16;
  return t.code == (brain ? DLTensor::kBfloat : DLTensor::kFloat) && t.lanes == 1 &&
         t.bits == (brain ? 16 : element == Element::float64 ? 64 : 32);
}

Element check_view(const DLTensor& t, const std::string& name) {
  if (t.device_type != DLTensor::kCpu) {
    throw py::type_error(name + ": got a tensor on another device, want one in the CPU's memory; move it with .cpu()");
  }
  if (!t.is_contiguous()) {
    throw py::value_error(name + ": got strided memory, want C-contiguous memory, since nothing is copied silently; make it "
                                 "so with .contiguous()");
  }
  for (Element element : {Element::float32, Element::float64, Element::bfloat16}) {
    if (is_element(t, element)) return element;
  }
  throw py::type_error(name + ": got a tensor of another dtype, want float32, float64 or bfloat16; convert it with .float()");
}

// What nearly every gradient is: the same kind of array as before, in the same place.
bool is_as_before(py::handle grad, const Tensor& param, const void* before, bool zero) {
  const auto* g = py::detail::array_proxy(grad.ptr());
  using Flags = py::detail::npy_api;
  const int plain = Flags::NPY_ARRAY_C_CONTIGUOUS_ | Flags::NPY_ARRAY_ALIGNED_ | (zero ? Flags::NPY_ARRAY_WRITEABLE_ : 0);
  const auto& p = py::reinterpret_borrow<py::array>(param.object);
  return g->data == before && g->descr == py::detail::array_proxy(p.ptr())->descr && (g->flags & plain) == plain &&
         std::equal(param.shape.begin(), param.shape.end(), g->dimensions, g->dimensions + g->nd);
}

// The same for a tensor of another library; false also where asking would take long.
bool is_as_before(py::handle tensor, const Tensor& param, const void* before) {
  DLTensor t;
  return view_quickly(tensor, t) && t.begin() == before && t.device_type == DLTensor::kCpu && is_element(t, param.element) &&
         std::equal(param.shape.begin(), param.shape.end(), t.shape, t.shape + t.ndim) && t.is_contiguous();
}

}  // namespace

Tensor check_tensor(py::handle object, const std::string& name, Access access) {
  if (py::isinstance<py::array>(object) || !is_dlpack(object)) {
    const Array a = check(object, name, access);
    return {name, object, a.as<char>(), a.size, a.shape, a.is_double() ? Element::float64 : Element::float32};
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
    throw py::type_error(name + ": got a tensor that is not plain memory (" + error.what() + "), want a dense CPU tensor; "
                                "use .to_dense() or .cpu()");
  }
  return tensor;
}

TensorList::TensorList(const py::sequence& params, const std::vector<std::string>& names,
                       const std::vector<StateArrays>& state)
    : last_grads_(names.size()), grads_(names.size()) {
  for (std::size_t i = 0; i < names.size(); ++i) params_.push_back(check_tensor(params[i], names[i], Access::write));
  py::list owned;
  for (const StateArrays& kind : state) {
    std::vector<State> arrays(names.size());
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (kind.arrays[i].is_none()) continue;
      const auto array = py::reinterpret_borrow<py::array>(kind.arrays[i]);
      arrays[i].data = const_cast<void*>(array.data());
      if (!kind.scales[i].is_none()) {
        arrays[i].scales = static_cast<float*>(const_cast<void*>(py::reinterpret_borrow<py::array>(kind.scales[i]).data()));
      }
      const char* begin = static_cast<const char*>(array.data());
      state_extents_.push_back({begin, begin + array.nbytes(), "the state of " + names[i]});
    }
    state_.push_back(arrays);
    is_signed_.push_back(kind.is_signed);
    owned.append(py::make_tuple(py::tuple(kind.arrays), py::tuple(kind.scales)));
  }
  owned_ = py::make_tuple(py::tuple(params), owned);
  note_extents();
}

void TensorList::note_extents() {
  extents_ = state_extents_;
  for (const Tensor& p : params_) extents_.push_back({p.data, p.data + p.bytes(), p.name});
  std::erase_if(extents_, [](const Extent& e) { return e.begin == e.end; });
  std::sort(extents_.begin(), extents_.end(), [](const Extent& a, const Extent& b) { return a.begin < b.begin; });
  for (std::size_t i = 1; i < extents_.size(); ++i) {
    if (extents_[i - 1].end <= extents_[i].begin) continue;
    throw py::value_error(extents_[i].owner + ": got memory that " + extents_[i - 1].owner +
                          " has too, want every parameter once and apart from the others; list it once");
  }
}

void TensorList::check_apart_from_all(const Tensor& grad) const {
  if (grad.size == 0) return;
  const char* end = grad.data + grad.bytes();
  const auto after = std::partition_point(extents_.begin(), extents_.end(), [=](const Extent& e) { return e.begin < end; });
  if (after == extents_.begin() || std::prev(after)->end <= grad.data) return;
  throw py::value_error(std::prev(after)->owner + ": got memory that overlaps " + grad.name +
                        ", want memory of its own; pass a copy of " + grad.name);
}

void* TensorList::check_gradient(py::handle grad, std::size_t i, bool zero) {
  const Tensor& p = params_[i];
  if (last_grads_[i]) {
    if (py::isinstance<py::array>(grad)) {
      if (py::isinstance<py::array>(p.object) && is_as_before(grad, p, last_grads_[i], zero)) return last_grads_[i];
    } else if (is_as_before(grad, p, last_grads_[i])) {
      return last_grads_[i];
    }
  }
  const Tensor g = check_tensor(grad, p.name + ".grad", zero ? Access::write : Access::read);
  if (g.element != p.element) {
    throw py::type_error(g.name + ": got " + element_name(g.element) + ", want " + element_name(p.element) +
                         " like the rest; convert it with " + g.name + ".astype(np." + element_name(p.element) + ")");
  }
  if (g.shape != p.shape) {
    throw py::value_error(g.name + ": got shape " + text(g.shape) + ", want " + text(p.shape) +
                          "; reshape it, nothing is broadcast");
  }
  check_apart_from_all(g);
  return g.data;
}

void TensorList::check_parameter(std::size_t i) {
  Tensor& p = params_[i];
  if (py::isinstance<py::array>(p.object)) {
    if (py::reinterpret_borrow<py::array>(p.object).writeable()) return;
    throw py::value_error(p.name + ": got a read-only array, want a writable one, since it is changed in place; "
                                   "call setflags(write=True)");
  }
  if (is_as_before(p.object, p, p.data)) return;
  Tensor moved = check_tensor(p.object, p.name, Access::write);  // its .data has been assigned
  if (moved.element != p.element || moved.shape != p.shape) {
    throw py::value_error(p.name + ": got another shape or dtype than when the optimizer was made, want the same; make a new "
                                   "optimizer");
  }
  if (moved.data == p.data) return;
  std::swap(p, moved);
  try {
    note_extents();
  } catch (...) {
    std::swap(p, moved);
    throw;
  }
  std::fill(last_grads_.begin(), last_grads_.end(), nullptr);
}

void TensorList::check_gradients_apart() const {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < grads_.size(); ++i) {
    if (grads_[i] && params_[i].size) order.push_back(i);
  }
  std::sort(order.begin(), order.end(), [this](std::size_t a, std::size_t b) { return grads_[a] < grads_[b]; });
  for (std::size_t k = 1; k < order.size(); ++k) {
    const std::size_t before = order[k - 1], i = order[k];
    if (static_cast<char*>(grads_[before]) + params_[before].bytes() <= static_cast<char*>(grads_[i])) continue;
    throw py::value_error(params_[i].name + ".grad: got memory that overlaps " + params_[before].name +
                          ".grad, want memory of its own, since gradients are zeroed; pass a copy of it");
  }
}

const std::vector<void*>& TensorList::check_gradients(const py::tuple& grads, bool zero) {
  if (grads.size() != params_.size()) {
    throw py::value_error("grads: got " + std::to_string(grads.size()) + " gradients, want " +
                          std::to_string(params_.size()) + ", one per parameter; None leaves a parameter alone");
  }
  for (std::size_t i = 0; i < params_.size(); ++i) check_parameter(i);
  for (std::size_t i = 0; i < params_.size(); ++i) {
    const py::handle grad = PyTuple_GET_ITEM(grads.ptr(), py::ssize_t(i));
    grads_[i] = grad.is_none() ? nullptr : check_gradient(grad, i, zero);
  }
  if (zero && grads_ != last_grads_) check_gradients_apart();
  for (std::size_t i = 0; i < params_.size(); ++i) {
    if (grads_[i]) last_grads_[i] = grads_[i];
  }
  return grads_;
}

}  // namespace fastnn
