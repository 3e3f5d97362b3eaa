// The random bits of dropout for a part of an array that need not begin or end at a block of bits.
#pragma once

#include "kernels/philox.h"

namespace fastnn {
namespace {

// Calls body(first, count, bits16) for pieces of [begin, end); bits16[i] decides about element first + i (philox.h).
template <class Body>
inline void for_each_masked_run(Index begin, Index end, const Philox& random, Body body) {
  constexpr Index kElements = 2 * kBlockWords;
  alignas(64) std::uint32_t words[kBlockWords], bits16[kElements];
  for (Index first = begin; first < end;) {
    const std::uint64_t block = std::uint64_t(first) / kElements;
    const Index skipped = Index(std::uint64_t(first) % kElements);
    const Index count = kElements - skipped < end - first ? kElements - skipped : end - first;
    philox_block(words, random, block);
#pragma omp simd
    for (Index j = 0; j < kBlockWords; ++j) bits16[j] = words[j] & 0xffff;
#pragma omp simd
    for (Index j = 0; j < kBlockWords; ++j) bits16[kBlockWords + j] = words[j] >> 16;
    body(first, count, static_cast<const std::uint32_t*>(bits16) + skipped);
    first += count;
  }
}

}  // namespace
}  // namespace fastnn
