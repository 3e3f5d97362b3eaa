// Kernels use threads only through this header. Work is cut into blocks whose size depends on the problem alone, so
// results do not depend on the number of threads. A single block runs in the caller and wakes no thread.
#pragma once

#include "kernels/args/common.h"

namespace fastnn {

// runtime/threads.h: calls body(context, b) once for every b in [0, blocks), and returns when all calls have ended.
// `elements` is the amount of work: waking a thread for little is a loss.
void run_blocks(Index blocks, Index elements, void (*body)(void*, Index) noexcept, void* context) noexcept;

namespace {

// Not inlined, or every kernel would be compiled twice: for a single block, and for many.
template <class Body>
__attribute__((noinline)) void run_block(void* body, Index block) noexcept {
  (*static_cast<const Body*>(body))(block);
}

// The body stays where the caller has it, and holds the kernel's arguments by reference. Copying the arguments, in
// vectors, would wait for each of the scalar stores that have just filled them: 35 of the 70 ns of a small call.
template <class Body>
inline void for_each_block(Index blocks, Index elements, const Body& body) noexcept {
  void* context = const_cast<Body*>(&body);
  if (blocks == 1) return run_block<Body>(context, 0);
  run_blocks(blocks, elements, &run_block<Body>, context);
}

// Calls body(begin, end) for ranges of [0, rows) that make a block each, where a row has `width` elements.
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
