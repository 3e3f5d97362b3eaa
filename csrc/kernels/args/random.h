// Arguments of random fills.
#pragma once

#include "kernels/args/common.h"
#include "steps/quantile.h"

namespace fastnn {

// Element i of y is number skip + i of those that begin at random.block; skip is less than a block.
template <class T>
struct FillArgs {
  T* y;
  Index size, skip;
  Philox random;
  T shift, scale, largest;  // shift + scale * value, at most `largest`; scale is the probability of a bernoulli
};

// mean + std z, z normal within an interval, and clamped to [low, high]. With u uniform in (0, 1) z has the probability
// below + u width of less, and above + (1 - u) width of more. An interval far out in a tail is gone into from its nearer end
// instead: z = end + direction d, d as in beyond_tail with `share` of the tail within the interval.
template <class T>
struct TruncNormalArgs {
  T* y;
  Index size, skip;
  Philox random;
  T centre, below, above, width;  // centre = below - 1/2
  T mean, std, low, high;
  bool far, in_tail;  // far: z is not within +-kQuantileMiddle
  Tail tail;                // from the nearer end on
  double share, end, step;  // mean + std z at that end; +-std
};

// low + one of `range` numbers; 0 stands for 2^64.
struct IntegersArgs {
  Index* y;
  Index size, skip;
  Philox random;
  Index low;
  std::uint64_t range;
};

// The words of `blocks` blocks from `random` on, 64 each.
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

// About 2^12 elements to a bucket, which is what the first level of cache holds; not more buckets than it can write to.
static constexpr int permutation_bits(Index size) {
  int bits = 0;
  while (bits < 12 && (size >> bits) > (1 << 13)) ++bits;
  return bits;
}

}  // namespace fastnn
