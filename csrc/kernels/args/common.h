// What every family of kernels knows.
#pragma once

#include <cstdint>

namespace fastnn {

using Index = std::int64_t;

// A block of random numbers: counters, and the words of 32 bits that they give.
static constexpr Index kBlockCounters = 16, kBlockWords = 64;

// Where in a random stream a kernel begins to draw; `block` counts blocks.
struct Philox {
  std::uint64_t seed, stream, block;
};

// Elements of a block, which one thread takes: 5 to 15 us of work.
static constexpr Index kBlockElements = 16384;

}  // namespace fastnn
