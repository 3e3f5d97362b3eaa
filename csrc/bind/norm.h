// What the norms' borders share.
#pragma once

#include <numeric>

#include "bind/arrays.h"

namespace fastnn {

inline Index product(const Shape& shape) { return std::accumulate(shape.begin(), shape.end(), Index(1), std::multiplies<>()); }

struct Statistics {
  py::array_t<double> mean, rstd;
  explicit Statistics(const Shape& shape) : mean(shape), rstd(shape) {}
};

}  // namespace fastnn
