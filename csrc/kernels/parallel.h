// The only door to threads. Work is cut into blocks whose size depends on the problem alone, so results do not
// depend on how many threads take them; one block runs in the caller, without waking anybody.
#pragma once

#include "kernels/args/common.h"

namespace fastnn {

// runtime/threads.h: calls body(context, b) once for every b in [0, blocks), returns when all are done. `elements` says how
// much work that is: waking a thread for little is a loss.
void run_blocks(Index blocks, Index elements, void (*body)(void*, Index) noexcept, void* context) noexcept;

namespace {

// Not inline, or every kernel would be compiled twice: for a single block, and for many.
template <class Body>
__attribute__((noinline)) void run_block(void* body, Index block) noexcept {
  (*static_cast<const Body*>(body))(block);
}

// Bodies stay where the caller has them, and hold a kernel's arguments by reference. A copy of those, in vectors, waits for
// each of the single stores that have just filled them: 35 ns of a small call's 70.
template <class Body>
inline void for_each_block(Index blocks, Index elements, const Body& body) noexcept {
  void* context = const_cast<Body*>(&body);
  if (blocks == 1) return run_block<Body>(context, 0);
  run_blocks(blocks, elements, &run_block<Body>, context);
}

// body(begin, end) over [0, rows) in ranges that make a block, for rows of `width` elements.
template <class Body>
inline void for_each_range(Index rows, Index width, const Body& body) noexcept {
  const Index grain = width < kBlockElements ? kBlockElements / (width < 1 ? 1 : width) : 1;
  for_each_block((rows + grain - 1) / grain, rows * width, [&body, grain, rows](Index block) {
    const Index begin = block * grain;
    body(begin, begin + grain < rows ? begin + grain : rows);
  });
}

}  // namespace
}  // namespace fastnn
