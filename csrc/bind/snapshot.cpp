// What torch.optim keeps in `state` and `param_groups` is the truth for the optimizers of fastnn.torch. A snapshot
// tells whether both still are what a compiled stepper was built from, in nanoseconds per parameter as long as the
// state was not handed out, and else in tens of nanoseconds per tensor, whose addresses are looked up then.
#include <pybind11/pybind11.h>

#include <vector>

#include "bind/dlpack.h"
#include "bind/register.h"

namespace fastnn {
namespace {

namespace py = pybind11;

struct Place {
  const void* data = nullptr;
  std::int64_t size = 0;

  bool operator==(const Place&) const = default;
};

// Returns where a tensor lies, and nothing for other objects. Tensors of older versions of torch are asked in Python.
Place place_of(py::handle value) {
  DLTensor t;
  if (view_quickly(value, t)) {
    std::int64_t size = 1;
    for (std::int32_t axis = 0; axis < t.ndim; ++axis) size *= t.shape[axis];
    return {t.begin(), size};
  }
  if (!is_dlpack(value) || !py::hasattr(value, "data_ptr")) return {};
  return {reinterpret_cast<const void*>(value.attr("data_ptr")().cast<std::uintptr_t>()),
          value.attr("numel")().cast<std::int64_t>()};
}

class Snapshot {
 public:
  // `state` maps parameters to dicts of their state; `params` are those of all groups, in order, `ready` those of them
  // whose state is complete.
  Snapshot(const py::dict& state, const py::list& params, const std::vector<bool>& ready)
      : state_(state), params_(params), ready_(ready) {
    for (auto [key, value] : state) {
      entries_.push_back({own(key), own(value), {}});
      if (!py::isinstance<py::dict>(value)) continue;
      for (auto [name, part] : py::reinterpret_borrow<py::dict>(value)) {
        entries_.back().parts.push_back({own(name), own(part), place_of(part)});
      }
    }
  }

  // Returns whether the groups have the same parameters in the same order.
  bool has(const py::list& groups) const {
    std::size_t i = 0;
    for (py::handle group : groups) {
      PyObject* params = PyDict_Check(group.ptr()) ? PyDict_GetItemString(group.ptr(), "params") : nullptr;
      if (!params || !(PyList_Check(params) || PyTuple_Check(params))) return false;
      const auto count = std::size_t(PySequence_Fast_GET_SIZE(params));
      if (i + count > ready_.size()) return false;
      for (std::size_t k = 0; k < count; ++k, ++i) {
        const PyObject* known = PyList_GET_ITEM(params_.ptr(), py::ssize_t(i));
        if (PySequence_Fast_GET_ITEM(params, py::ssize_t(k)) != known) return false;
      }
    }
    return i == ready_.size();
  }

  // Returns whether every parameter with a gradient is ready, and the state has the same objects, in the same order, at
  // the same addresses. It has if it is the same dict and was not handed out.
  bool fits(const py::handle& state, const py::tuple& grads, bool handed_out) const {
    if (grads.size() != ready_.size() || !PyDict_Check(state.ptr())) return false;
    for (std::size_t i = 0; i < ready_.size(); ++i) {
      if (!ready_[i] && PyTuple_GET_ITEM(grads.ptr(), py::ssize_t(i)) != Py_None) return false;
    }
    if (!handed_out && state.is(state_)) return true;
    return same(state, entries_, [](const Entry& e, py::handle value) {
      if (!PyDict_Check(value.ptr())) return e.parts.empty();
      return same(value, e.parts, [](const Part& p, py::handle tensor) { return p.place == place_of(tensor); });
    });
  }

 private:
  struct Part {
    py::object key, value;
    Place place;
  };
  struct Entry {
    py::object key, value;
    std::vector<Part> parts;
  };

  static py::object own(py::handle h) { return py::reinterpret_borrow<py::object>(h); }

  // Compares keys and values by identity, in order, which needs no hash: torch computes that of a tensor in Python.
  template <class Item, class Inside>
  static bool same(py::handle dict, const std::vector<Item>& items, const Inside& inside) {
    if (std::size_t(PyDict_GET_SIZE(dict.ptr())) != items.size()) return false;
    PyObject *key, *value;
    Py_ssize_t position = 0;
    for (const Item& item : items) {
      if (!PyDict_Next(dict.ptr(), &position, &key, &value)) return false;
      if (key != item.key.ptr() || value != item.value.ptr() || !inside(item, value)) return false;
    }
    return true;
  }

  py::dict state_;
  py::list params_;
  std::vector<bool> ready_;
  std::vector<Entry> entries_;
};

}  // namespace

FASTNN_BINDINGS(snapshot, m) {
  using namespace py::literals;
  py::class_<Snapshot>(m, "Snapshot")
      .def(py::init<const py::dict&, const py::list&, const std::vector<bool>&>(), "state"_a, "params"_a, "ready"_a)
      .def("has", &Snapshot::has, "groups"_a)
      .def("fits", &Snapshot::fits, "state"_a, "grads"_a, "handed_out"_a);
}

}  // namespace fastnn
