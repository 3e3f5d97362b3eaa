// FASTNN_BINDINGS(layer_norm, m) { m.def(...); } in a file adds that file's functions to the module. The module calls
// all of these itself, so there is no list of files.
#pragma once

#include <pybind11/pybind11.h>

namespace fastnn {

class Bindings {
 public:
  explicit Bindings(void (*add)(pybind11::module_&)) : add_(add), next_(first_) { first_ = this; }
  Bindings(const Bindings&) = delete;

  static void add_all(pybind11::module_& m) {
    for (const Bindings* b = first_; b; b = b->next_) b->add_(m);
  }

 private:
  static constinit inline const Bindings* first_ = nullptr;
  void (*add_)(pybind11::module_&);
  const Bindings* next_;
};

#define FASTNN_BINDINGS(name, m)                         \
  static void bind_##name(pybind11::module_& m);         \
  static const Bindings bindings_##name(&bind_##name);   \
  static void bind_##name(pybind11::module_& m)

}  // namespace fastnn
