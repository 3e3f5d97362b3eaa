// What every family of kernels knows.
#pragma once

#include <cstdint>

namespace fastnn {

using Index = std::int64_t;

// Where in a random stream a kernel begins to draw.
struct Philox {
  std::uint64_t seed, stream, block;
};

// Elements of a block, which one thread takes: 5 to 15 us of work.
static constexpr Index kBlockElements = 16384;

}  // namespace fastnn
