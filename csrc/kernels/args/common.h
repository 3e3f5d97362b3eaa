// Types and constants that all families of kernels share.
#pragma once

#include <cstdint>

namespace fastnn {

using Index = std::int64_t;

// The size of a block of random numbers, in counters and in 32-bit words.
static constexpr Index kBlockCounters = 16, kBlockWords = 64;

// The place in a random stream where a kernel begins to draw; `block` counts blocks.
struct Philox {
  std::uint64_t seed, stream, block;
};

// The number of elements in a block, which one thread processes: 5 to 15 us of work.
static constexpr Index kBlockElements = 16384;

}  // namespace fastnn
