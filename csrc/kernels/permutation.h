// A random order of 0, 1, ..., n - 1. Every number is put into a bucket by a random word of its own (C. R. Rao 1961; M.
// Sandelius, J. Royal Stat. Soc. B 24, 1962), and every bucket, which fits into cache, is shuffled (R. Durstenfeld,
// Comm. ACM 7, 1964, algorithm 235). Shuffling the whole array would wait for memory at every number; this writes to
// memory in as many streams as there are buckets.
#pragma once

#include "kernels/args/random.h"
#include "kernels/parallel.h"
#include "kernels/philox.h"

namespace fastnn {
namespace {

// Calls body(i, word) for i in [begin, end), with word i of those from `random` on.
template <class Body>
inline void for_each_word(Index begin, Index end, const Philox& random, Body body) {
  for (Index b = begin / kBlockWords; b * kBlockWords < end; ++b) {
    alignas(64) std::uint32_t words[kBlockWords];
    philox_block(words, random, std::uint64_t(b));
    const Index origin = b * kBlockWords, last = origin + kBlockWords < end ? origin + kBlockWords : end;
    for (Index i = begin < origin ? origin : begin; i < last; ++i) body(i, words[i - origin]);
  }
}

// Replaces each count by the sum of all counts before it, bucket by bucket, and part by part within a bucket.
inline void sum_counts(Index* counts, Index parts, Index buckets) {
  Index total = 0;
  for (Index bucket = 0; bucket < buckets; ++bucket) {
    for (Index part = 0; part < parts; ++part) {
      Index& count = counts[part * buckets + bucket];
      const Index before = total;
      total += count;
      count = before;
    }
  }
}

// Writes every number to its bucket. Afterwards a.ends holds the end of each part's share of each bucket.
inline void distribute(const PermutationArgs& a) {
  const Index parts = permutation_parts(a.size), buckets = Index(1) << a.bits;
  const int shift = 32 - a.bits;
  const auto for_each_part = [&](auto body) {
    for_each_block(parts, a.size, [=](Index part) {
      const Index begin = part * kPermutationPart, end = begin + kPermutationPart;
      body(begin, end < a.size ? end : a.size, a.ends + part * buckets);
    });
  };
  for_each_part([=](Index begin, Index end, Index* counts) {
    for (Index bucket = 0; bucket < buckets; ++bucket) counts[bucket] = 0;
    for_each_word(begin, end, a.buckets, [=](Index, std::uint32_t word) { ++counts[word >> shift]; });
  });
  sum_counts(a.ends, parts, buckets);
  for_each_part([=](Index begin, Index end, Index* next) {
    for_each_word(begin, end, a.buckets, [=](Index i, std::uint32_t word) { a.y[next[word >> shift]++] = i; });
  });
}

// Swaps element i of a bucket with one of 0 ... i. A bucket has fewer than 2^32 elements.
inline void shuffle(const PermutationArgs& a, Index begin, Index end) {
  Index* y = a.y + begin;
  for_each_word(begin, end, a.swaps, [=](Index position, std::uint32_t word) {
    const Index i = position - begin, other = Index(std::uint64_t(word) * std::uint64_t(i + 1) >> 32);
    const Index value = y[i];
    y[i] = y[other];
    y[other] = value;
  });
}

void permutation_kernel(const PermutationArgs& a) noexcept {
  if (a.bits == 0) {
    for (Index i = 0; i < a.size; ++i) a.y[i] = i;
    return shuffle(a, 0, a.size);
  }
  distribute(a);
  const Index buckets = Index(1) << a.bits;
  const Index* ends = a.ends + (permutation_parts(a.size) - 1) * buckets;
  for_each_block(buckets, a.size, [=](Index bucket) { shuffle(a, bucket ? ends[bucket - 1] : 0, ends[bucket]); });
}

}  // namespace
}  // namespace fastnn
