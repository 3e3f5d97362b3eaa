// The only door to threads. Work is cut into blocks whose size depends on the problem alone, so results do not
// depend on how many threads take them; one block runs in the caller, without waking anybody.
#pragma once

#include "kernels/args.h"

namespace fastnn {

// core/threads.h: calls body(context, b) once for every b in [0, blocks), returns when all are done.
void run_blocks(Index blocks, void (*body)(void*, Index) noexcept, void* context) noexcept;

namespace {

template <class Body>
inline void for_each_block(Index blocks, Body body) noexcept {
  if (blocks == 1) return body(Index(0));
  run_blocks(blocks, [](void* context, Index block) noexcept { (*static_cast<Body*>(context))(block); }, &body);
}

// body(begin, end) over [0, size) in ranges of `grain`.
template <class Body>
inline void for_each_range(Index size, Index grain, Body body) noexcept {
  for_each_block((size + grain - 1) / grain, [=](Index block) {
    const Index begin = block * grain;
    body(begin, begin + grain < size ? begin + grain : size);
  });
}

// How many rows of `width` elements make a block worth handing to a thread.
inline Index rows_per_block(Index width) {
  constexpr Index kElements = 16384;
  return width < kElements ? kElements / (width < 1 ? 1 : width) : 1;
}

}  // namespace
}  // namespace fastnn
