// Checks of numbers.
#include <cmath>

#include "bind/arrays.h"

namespace fastnn {
namespace {

std::string got(const char* name, double value) { return std::string(name) + ": got " + text(value) + ", want "; }

}  // namespace

std::string text(double value) { return std::string(py::repr(py::float_(value))); }

Index check_integer(py::handle object, const std::string& name, const std::string& want) {
  if (!PyIndex_Check(object.ptr()) || PyBool_Check(object.ptr())) {
    throw py::type_error(name + ": got " + std::string(py::repr(object)) + ", want an int; " + want);
  }
  int overflow = 0;
  const py::object number = py::reinterpret_steal<py::object>(PyNumber_Index(object.ptr()));
  if (!number) throw py::error_already_set();
  const Index value = PyLong_AsLongLongAndOverflow(number.ptr(), &overflow);
  if (overflow) {
    throw py::value_error(name + ": got " + std::string(py::str(number)) + ", want an int of 64 bits; " + want);
  }
  return value;
}

double check_range(double value, const char* name, double low, double high) {
  if (!(low <= value && value <= high)) {
    throw py::value_error(got(name, value) + "a number in [" + text(low) + ", " + text(high) + "]");
  }
  return value;
}

double check_not_negative(double value, const char* name) {
  if (!(0 <= value && std::isfinite(value))) {
    throw py::value_error(got(name, value) + "a finite number >= 0");
  }
  return value;
}

}  // namespace fastnn
