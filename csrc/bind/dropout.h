// A probability of dropping as the kernels take it.
#pragma once

#include <cmath>
#include <cstdint>

namespace fastnn {

inline std::uint32_t drop_threshold(double p) { return std::uint32_t(std::lround(p * 65536)); }

}  // namespace fastnn
