// What the functions of the C API (fastnn/include) share. They trust their callers, run in the caller's thread and those of
// the pool, throw nothing, and need no interpreter: 0, or -1 where there is no memory for scratch.
#pragma once

#include <fastnn.h>

#include "calls/dropout.h"
#include "runtime/isa.h"
#include "runtime/memory.h"

namespace fastnn {
namespace {

constexpr int kDone = 0, kNoMemory = -1;

inline Philox place(const fastnn_random& r) { return {r.seed, r.stream, r.block}; }

inline Activation kind_of(fastnn_activation kind) { return Activation(int(kind)); }
static_assert(int(FASTNN_IDENTITY) == int(Activation::identity) && int(FASTNN_GELU) == int(Activation::gelu) &&
              int(FASTNN_SOFTPLUS) == int(Activation::softplus));

template <class T>
ActivationOptions<T> options_of(double option, double threshold) {
  return {T(option), T(threshold)};
}

// run(scratch) with so many elements.
template <class T, class Run>
int with_scratch(Index size, Run run) noexcept {
  const Scratch<T> scratch(size, std::nothrow);
  if (!scratch) return kNoMemory;
  run(scratch.get());
  return kDone;
}

}  // namespace
}  // namespace fastnn
