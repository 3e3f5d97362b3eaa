// A probability of dropping as the kernels take it.
#pragma once

#include <cmath>
#include <cstdint>

namespace fastnn {

inline std::uint32_t drop_threshold(double p) { return std::uint32_t(std::lround(p * 65536)); }

// What stays is multiplied by this, so that the expected value is kept.
inline double keep_scale(double p) { return p < 1 ? 1 / (1 - p) : 0; }

}  // namespace fastnn
