// Argument checks that all losses share.
#pragma once

#include <initializer_list>

#include "bind/arrays.h"

namespace fastnn {

enum class Reduction { mean, sum, none, batchmean };

// Returns the one of `known` with this name.
Reduction check_reduction(py::handle given, std::initializer_list<Reduction> known);

}  // namespace fastnn
