// Arguments of random fills.
#pragma once

#include "kernels/args/common.h"
#include "steps/quantile.h"

namespace fastnn {

// Element i of y is number skip + i of the numbers that begin at random.block; skip is less than a block.
template <class T>
struct FillArgs {
  T* y;
  Index size, skip;
  Philox random;
  T shift, scale, largest;  // shift + scale * value, at most `largest`; for bernoulli, scale is the probability
};

// y = mean + std z, clamped to [low, high], where z is normal within an interval. With u uniform in (0, 1), P(Z < z) is
// below + u width, and P(Z > z) is above + (1 - u) width. If the interval lies far out in a tail, y is counted from the
// interval's nearer end instead: y = end + step d, with d from beyond_tail; `share` is the share of the tail beyond
// that end that lies within the interval.
template <class T>
struct TruncNormalArgs {
  T* y;
  Index size, skip;
  Philox random;
  T centre, below, above, width;  // centre = below - 1/2
  T mean, std, low, high;
  bool far, in_tail;  // far: z may be beyond +-kQuantileMiddle
  Tail tail;                // the tail from the nearer end on
  double share, end, step;  // mean + std z at that end; +-std
};

// low + one of `range` numbers; a range of 0 stands for 2^64.
struct IntegersArgs {
  Index* y;
  Index size, skip;
  Philox random;
  Index low;
  std::uint64_t range;
};

// The words of `blocks` blocks from `random` on, 64 words each.
struct PhiloxArgs {
  std::uint32_t* words;
  Philox random;
  Index blocks;
};

// The numbers below `size` in random order. With `bits` > 0 there are 2^bits buckets.
struct PermutationArgs {
  Index* y;
  Index* ends;  // (permutation_parts(size), 2^bits)
  Index size;
  Philox buckets, swaps;
  int bits;
};

static constexpr Index kPermutationPart = 1 << 18;
static constexpr Index permutation_parts(Index size) { return (size + kPermutationPart - 1) / kPermutationPart; }

// Aims at about 2^12 elements per bucket, which the first-level cache holds, but not at more buckets than it can write
// to.
static constexpr int permutation_bits(Index size) {
  int bits = 0;
  while (bits < 12 && (size >> bits) > (1 << 13)) ++bits;
  return bits;
}

}  // namespace fastnn
