// What torch.optim keeps in `state` and `param_groups` is the truth for the optimizers of fastnn.torch. A snapshot
// tells in nanoseconds per tensor whether both still are what a compiled stepper was built from.
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
  Snapshot(const py::dict& state, py::list params, const std::vector<bool>& ready)
      : params_(std::move(params)), ready_(ready) {
    for (auto [key, value] : state) {
      entries_.push_back({own(key), own(value), {}});
      if (!py::isinstance<py::dict>(value)) continue;
      for (auto [name, part] : py::reinterpret_borrow<py::dict>(value)) {
        entries_.back().parts.push_back({own(name), own(part), place_of(part)});
      }
    }
  }

  // Returns whether the parameters are the same objects, every parameter with a gradient is ready, and the state has
  // the same objects, in the same order, at the same addresses.
  bool matches(const py::handle& state, const py::list& params, const py::list& grads) const {
    if (params.size() != ready_.size() || grads.size() != ready_.size() || !PyDict_Check(state.ptr())) return false;
    for (std::size_t i = 0; i < ready_.size(); ++i) {
      const auto at = py::ssize_t(i);
      if (PyList_GET_ITEM(params.ptr(), at) != PyList_GET_ITEM(params_.ptr(), at)) return false;
      if (!ready_[i] && PyList_GET_ITEM(grads.ptr(), at) != Py_None) return false;
    }
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

  py::list params_;
  std::vector<bool> ready_;
  std::vector<Entry> entries_;
};

}  // namespace

FASTNN_BINDINGS(snapshot, m) {
  using namespace py::literals;
  py::class_<Snapshot>(m, "Snapshot")
      .def(py::init<const py::dict&, py::list, const std::vector<bool>&>(), "state"_a, "params"_a, "ready"_a)
      .def("matches", &Snapshot::matches, "state"_a, "params"_a, "grads"_a);
}

}  // namespace fastnn
