#include "bind/tensor_list.h"

#include <algorithm>

namespace fastnn {

TensorList::TensorList(const py::sequence& params, const std::vector<py::sequence>& state, py::array_t<Index> steps,
                       const std::vector<std::string>& names)
    : last_grads_(params.size()), steps_(steps.mutable_data()) {
  for (std::size_t i = 0; i < names.size(); ++i) {
    params_.push_back(check(params[i], names[i], Access::write));
  }
  for (std::size_t kind = 0; kind < state.size(); ++kind) {
    state_.emplace_back();
    for (std::size_t i = 0; i < names.size(); ++i) {
      const std::string name = "state " + std::to_string(kind) + " of " + names[i];
      state_[kind].push_back(check_optional(state[kind][i], name, params_[i], params_[i].shape, Access::write));
    }
  }
  py::list owned;
  for (const auto& kind : state) owned.append(py::tuple(kind));
  owned_ = py::make_tuple(py::tuple(params), owned, steps);
  const auto add = [this](const std::vector<Array>& arrays) {
    for (const Array& a : arrays) {
      const char* begin = a.as<const char>();
      if (a.size) extents_.push_back({begin, begin + a.bytes(), &a});
    }
  };
  add(params_);
  for (const auto& kind : state_) add(kind);
  std::sort(extents_.begin(), extents_.end(), [](const Extent& a, const Extent& b) { return a.begin < b.begin; });
  for (std::size_t i = 1; i < extents_.size(); ++i) {
    if (extents_[i - 1].end <= extents_[i].begin) continue;
    throw py::value_error(extents_[i].owner->name + ": got memory that " + extents_[i - 1].owner->name +
                          " has too, want every parameter once and apart from the others; list it once");
  }
}

void TensorList::check_apart_from_all(const Array& grad) const {
  if (grad.size == 0) return;
  const char* end = grad.as<const char>() + grad.bytes();
  const auto after = std::partition_point(extents_.begin(), extents_.end(), [=](const Extent& e) { return e.begin < end; });
  if (after != extents_.begin()) check_apart(*std::prev(after)->owner, grad);
}

const void* TensorList::check_gradient(py::handle grad, std::size_t i) {
  const Array& p = params_[i];
  // What nearly every gradient is: the same kind of array as before, in the same place.
  if (py::isinstance<py::array>(grad) && last_grads_[i]) {
    const auto* g = py::detail::array_proxy(grad.ptr());
    constexpr int kPlain = py::detail::npy_api::NPY_ARRAY_C_CONTIGUOUS_ | py::detail::npy_api::NPY_ARRAY_ALIGNED_;
    if (g->data == last_grads_[i] && g->descr == py::detail::array_proxy(p.object.ptr())->descr &&
        (g->flags & kPlain) == kPlain && std::equal(p.shape.begin(), p.shape.end(), g->dimensions, g->dimensions + g->nd)) {
      return g->data;
    }
  }
  const Array g = check(grad, p.name + ".grad", p, p.shape);
  check_apart_from_all(g);
  return g.data;
}

std::vector<const void*> TensorList::check_gradients(const py::sequence& grads) {
  if (grads.size() != params_.size()) {
    throw py::value_error("grads: got " + std::to_string(grads.size()) + " gradients, want " +
                          std::to_string(params_.size()) + ", one per parameter; None leaves a parameter alone");
  }
  std::vector<const void*> fresh(params_.size());
  for (std::size_t i = 0; i < fresh.size(); ++i) {
    const py::object grad = grads[i];
    if (!grad.is_none()) fresh[i] = check_gradient(grad, i);
  }
  for (const Array& p : params_) {
    if (py::reinterpret_borrow<py::array>(p.object).writeable()) continue;
    throw py::value_error(p.name + ": got a read-only array, want a writable one, since it is changed in place; "
                                   "call setflags(write=True)");
  }
  for (std::size_t i = 0; i < fresh.size(); ++i) {
    if (fresh[i]) last_grads_[i] = fresh[i];
  }
  return fresh;
}

}  // namespace fastnn
