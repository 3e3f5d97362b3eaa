// The labels of losses over classes, checked and copied.
#pragma once

#include <cstdint>
#include <vector>

#include "bind/arrays.h"

namespace fastnn {

// Copies the labels, each of which must be in [0, classes), or `ignored`, which becomes -1. A copy, since an index must
// not change between this check and its use.
std::vector<std::int64_t> copy_labels(const Array& labels, py::ssize_t classes, std::int64_t ignored);

}  // namespace fastnn
