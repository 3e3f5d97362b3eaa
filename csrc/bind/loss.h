// What the borders of losses share.
#pragma once

#include <initializer_list>

#include "bind/arrays.h"

namespace fastnn {

enum class Reduction { mean, sum, none, batchmean };

// One of `known` by its name.
Reduction check_reduction(py::handle given, std::initializer_list<Reduction> known);

}  // namespace fastnn
