// Reads a parameter group.
#pragma once

#include <pybind11/pybind11.h>

namespace fastnn {

// A dict of options. Numbers may be one-element tensors.
class Group {
 public:
  explicit Group(pybind11::handle dict) : dict_(dict) {}

  double number(const char* name) const { return as_double(item(name)); }
  bool flag(const char* name) const {
    const int truth = PyObject_IsTrue(item(name).ptr());
    if (truth < 0) throw pybind11::error_already_set();
    return truth != 0;
  }
  double beta(std::size_t i) const {
    return as_double(pybind11::tuple(pybind11::reinterpret_borrow<pybind11::object>(item("betas")))[i]);
  }

 private:
  pybind11::handle item(const char* name) const {
    PyObject* value = PyDict_GetItemString(dict_.ptr(), name);
    if (!value) throw pybind11::key_error(name);
    return value;
  }
  static double as_double(pybind11::handle value) {
    const double number = PyFloat_AsDouble(value.ptr());
    if (number == -1 && PyErr_Occurred()) throw pybind11::error_already_set();
    return number;
  }

  pybind11::handle dict_;
};

}  // namespace fastnn
