// What the bindings of all losses share.
#pragma once

#include <initializer_list>
#include <vector>

#include "bind/arrays.h"
#include "calls/partial_sums.h"

namespace fastnn {

enum class Reduction { mean, sum, none, batchmean };

// Returns the one of `known` with this name.
Reduction check_reduction(py::handle given, std::initializer_list<Reduction> known);

// What the kernel writes the losses to: an array of all of them without a reduction, partial sums with one.
class Losses {
 public:
  Losses(const Array& input, Reduction reduction) {
    if (reduction == Reduction::none) {
      each_ = new_array(input.shape, input.is_double());
    } else {
      partial_.resize(std::size_t(partial_sums_of(input.size)));
    }
  }
  template <class T>
  T* each() {
    return each_ ? static_cast<T*>(py::reinterpret_borrow<py::array>(each_).mutable_data()) : nullptr;
  }
  double* partial() { return partial_.data(); }
  py::object reduced(double divisor) const {
    return each_ ? each_ : py::object(py::float_(total_of(partial_.data(), Index(partial_.size())) / divisor));
  }

 private:
  py::object each_;
  std::vector<double> partial_;
};

}  // namespace fastnn
