// Cuts (outer, channels, inner) by channels. With inner > 1 a tile is one channel: `outer` runs of `inner` elements.
// With inner == 1 it is 64 columns side by side, and at the end 8 or one. For arrays whose tiles fit the cache, such as
// weights.
#pragma once

#include "kernels/lanes.h"
#include "kernels/parallel.h"

namespace fastnn {
namespace {

template <Index width>
struct PerChannel {
  double first[width], second[width];
};

struct TileRuns {
  static constexpr Index kWidth = 1;
  Index channel, outer, channels, inner;

  // Sums both parts of term(i, c), where i is the element's index in x, and c its channel's number within the tile.
  template <class Term>
  PerChannel<1> sums(Term term) const {
    PerChannel<1> total = {};
    for (Index run = 0; run < outer; ++run) {
      const Index begin = (run * channels + channel) * inner;
      const Pair part = sum_pairs(inner, [=](Index i) { return term(begin + i, Index(0)); });
      total.first[0] += part.first;
      total.second[0] += part.second;
    }
    return total;
  }

  template <class Body>
  void each(Body body) const {
    for (Index run = 0; run < outer; ++run) {
      const Index begin = (run * channels + channel) * inner;
#pragma omp simd
      for (Index i = begin; i < begin + inner; ++i) body(i, Index(0));
    }
  }
};

template <Index width>
struct TileColumns {
  static constexpr Index kWidth = width;
  Index channel, outer, channels;

  template <class Term>
  PerChannel<width> sums(Term term) const {
    PerChannel<width> total = {};
    for (Index row = 0; row < outer; ++row) {
      const Index begin = row * channels + channel;
#pragma omp simd
      for (Index c = 0; c < width; ++c) {
        const Pair t = term(begin + c, c);
        total.first[c] += t.first;
        total.second[c] += t.second;
      }
    }
    return total;
  }

  template <class Body>
  void each(Body body) const {
    for (Index row = 0; row < outer; ++row) {
      const Index begin = row * channels + channel;
#pragma omp simd
      for (Index c = 0; c < width; ++c) body(begin + c, c);
    }
  }
};

// Calls body(tile) for tiles that cover all channels.
template <class Args, class Body>
inline void for_each_channel_tile(const Args& a, Body body) noexcept {
  if (a.inner != 1) {
    return for_each_range(a.channels, a.outer * a.inner, [=, &a](Index begin, Index end) {
      for (Index c = begin; c < end; ++c) body(TileRuns{c, a.outer, a.channels, a.inner});
    });
  }
  constexpr Index kMany = 64, kFew = 8;
  for_each_range((a.channels + kMany - 1) / kMany, a.outer * kMany, [=, &a](Index begin, Index end) {
    const Index last = end * kMany < a.channels ? end * kMany : a.channels;
    Index c = begin * kMany;
    for (; c + kMany <= last; c += kMany) body(TileColumns<kMany>{c, a.outer, a.channels});
    for (; c + kFew <= last; c += kFew) body(TileColumns<kFew>{c, a.outer, a.channels});
    for (; c < last; ++c) body(TileColumns<1>{c, a.outer, a.channels});
  });
}

}  // namespace
}  // namespace fastnn
