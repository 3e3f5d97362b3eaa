#include "bind/tensor_list.h"

#include <algorithm>

namespace fastnn {
namespace {

// A parameter can have got another dtype or shape since its state was made, as by model.double().
void check_state(const Tensor& p, const py::array& state, const py::object& scales, py::ssize_t coded_bytes) {
  const py::ssize_t plain_bytes = p.element == Element::float64 ? sizeof(double) : sizeof(float);
  const bool can_be_coded = p.element == Element::float32 || coded_bytes == 0;
  const bool fits = state.size() == p.size && state.itemsize() == (coded_bytes ? coded_bytes : plain_bytes);
  const Index blocks = scales.is_none() ? 0 : py::reinterpret_borrow<py::array>(scales).size();
  if (can_be_coded && fits && blocks == (coded_bytes == 1 ? (p.size + kScaleElements - 1) / kScaleElements : 0)) return;
  throw py::value_error(p.name + ": got " + element_name(p.element) + " of shape " + text(p.shape) +
                        ", want the dtype and shape for which its state was made; make a new optimizer");
}

}  // namespace

TensorList::TensorList(const py::sequence& params, const std::vector<std::string>& names,
                       const std::vector<StateArrays>& state, py::ssize_t coded_bytes)
    : last_grads_(names.size()) {
  for (std::size_t i = 0; i < names.size(); ++i) params_.push_back(check_tensor(params[i], names[i], Access::write));
  py::list owned;
  for (const StateArrays& kind : state) {
    std::vector<State> arrays(names.size());
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (kind.arrays[i].is_none()) continue;
      const auto array = py::reinterpret_borrow<py::array>(kind.arrays[i]);
      check_state(params_[i], array, kind.scales[i], coded_bytes);
      arrays[i].data = const_cast<void*>(array.data());
      if (!kind.scales[i].is_none()) {
        arrays[i].scales =
            static_cast<float*>(const_cast<void*>(py::reinterpret_borrow<py::array>(kind.scales[i]).data()));
      }
      const char* begin = static_cast<const char*>(array.data());
      state_extents_.push_back({begin, begin + array.nbytes(), "the state of " + names[i]});
    }
    state_.push_back(arrays);
    is_signed_.push_back(kind.is_signed);
    owned.append(py::make_tuple(py::tuple(kind.arrays), py::tuple(kind.scales)));
  }
  owned_ = py::make_tuple(py::tuple(params), owned);
  extents_ = extents_of(params_);
}

std::vector<TensorList::Extent> TensorList::extents_of(const std::vector<Tensor>& params) const {
  std::vector<Extent> extents = state_extents_;
  for (const Tensor& p : params) extents.push_back({p.data, p.data + p.bytes(), p.name});
  std::erase_if(extents, [](const Extent& e) { return e.begin == e.end; });
  std::sort(extents.begin(), extents.end(), [](const Extent& a, const Extent& b) { return a.begin < b.begin; });
  for (std::size_t i = 1; i < extents.size(); ++i) {
    if (extents[i - 1].end <= extents[i].begin) continue;
    throw py::value_error(extents[i].owner + ": got memory that overlaps " + extents[i - 1].owner +
                          ", want every parameter once, with memory of its own; list it once");
  }
  return extents;
}

void TensorList::check_apart_from_all(const Tensor& grad) const {
  if (grad.size == 0) return;
  const char* end = grad.data + grad.bytes();
  const auto after =
      std::partition_point(extents_.begin(), extents_.end(), [=](const Extent& e) { return e.begin < end; });
  if (after == extents_.begin() || std::prev(after)->end <= grad.data) return;
  throw py::value_error(std::prev(after)->owner + ": got memory that overlaps " + grad.name +
                        ", want memory of its own; pass a copy of " + grad.name);
}

void* TensorList::check_gradient(py::handle grad, std::size_t i, bool zero) {
  const Tensor& p = params_[i];
  const Access access = zero ? Access::write : Access::read;
  if (last_grads_[i] && is_as_before(grad, p, last_grads_[i], access)) return last_grads_[i];
  const Tensor g = check_tensor(grad, p.name + ".grad", access);
  if (g.element != p.element) {
    throw py::type_error(g.name + ": got " + element_name(g.element) + ", want " + element_name(p.element) +
                         " like the rest; convert it with " + g.name +
                         (py::isinstance<py::array>(grad) ? ".astype(np." : ".to(torch.") + element_name(p.element) +
                         ")");
  }
  if (g.shape != p.shape) {
    throw py::value_error(g.name + ": got shape " + text(g.shape) + ", want " + text(p.shape) +
                          "; reshape it, nothing is broadcast");
  }
  check_apart_from_all(g);
  static char nothing;  // an empty gradient may have no memory, but it is not None
  return g.data ? g.data : &nothing;
}

// Assigning to a tensor's .data may have moved it. All parameters that have moved are updated together.
void TensorList::check_parameters() {
  std::vector<Tensor> now;
  for (std::size_t i = 0; i < params_.size(); ++i) {
    const Tensor& p = params_[i];
    if (is_as_before(p.object, p, p.data, Access::write)) continue;
    if (py::isinstance<py::array>(p.object)) {
      if (py::reinterpret_borrow<py::array>(p.object).writeable()) continue;
      throw py::value_error(p.name +
                            ": got a read-only array, want a writable one, since it is changed in place; "
                            "call setflags(write=True)");
    }
    const Tensor moved = check_tensor(p.object, p.name, Access::write);
    if (moved.element != p.element || moved.shape != p.shape) {
      throw py::value_error(p.name +
                            ": got another shape or dtype than when the optimizer was made, want the same; make a "
                            "new optimizer");
    }
    if (moved.data == p.data) continue;
    if (now.empty()) now = params_;
    now[i] = moved;
  }
  if (now.empty()) return;
  extents_ = extents_of(now);
  params_ = std::move(now);
  std::fill(last_grads_.begin(), last_grads_.end(), nullptr);
}

py::list TensorList::foreign(const py::tuple& grads, bool zero) const {
  py::list found;
  for (std::size_t i = 0; i < params_.size(); ++i) {
    const py::handle grad = PyTuple_GET_ITEM(grads.ptr(), py::ssize_t(i));
    if (grad.is_none()) continue;
    if (!py::isinstance<py::array>(params_[i].object)) found.append(params_[i].object);
    if (zero && !py::isinstance<py::array>(grad)) found.append(grad);
  }
  return found;
}

void TensorList::check_gradients_apart(const std::vector<void*>& grads) const {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < grads.size(); ++i) {
    if (grads[i] && params_[i].size) order.push_back(i);
  }
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return grads[a] < grads[b]; });
  for (std::size_t k = 1; k < order.size(); ++k) {
    const std::size_t before = order[k - 1], i = order[k];
    if (static_cast<char*>(grads[before]) + params_[before].bytes() <= static_cast<char*>(grads[i])) continue;
    throw py::value_error(params_[i].name + ".grad: got memory that overlaps " + params_[before].name +
                          ".grad, want memory of its own, since gradients are zeroed; pass a copy of it");
  }
}

std::vector<void*> TensorList::check_gradients(const py::tuple& grads, bool zero) {
  if (grads.size() != params_.size()) {
    throw py::value_error("grads: got " + std::to_string(grads.size()) + " gradients, want " +
                          std::to_string(params_.size()) + ", one per parameter; pass None to leave one unchanged");
  }
  check_parameters();
  std::vector<void*> found(params_.size());
  for (std::size_t i = 0; i < params_.size(); ++i) {
    const py::handle grad = PyTuple_GET_ITEM(grads.ptr(), py::ssize_t(i));
    if (!grad.is_none()) found[i] = check_gradient(grad, i, zero);
  }
  bool apart = last_apart_ && found == last_grads_;
  if (zero && !apart) {
    check_gradients_apart(found);
    apart = true;
  }
  last_apart_ = apart;
  last_grads_ = found;
  return found;
}

}  // namespace fastnn
