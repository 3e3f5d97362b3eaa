// What the functions of the C API (fastnn/include) share. They trust their callers, run in the caller's thread and those of
// the pool, throw nothing, and need no interpreter: 0, or -1 where there is no memory for scratch.
#pragma once

#include <fastnn.h>

#include <type_traits>

#include "calls/dropout.h"
#include "kernels/args/activation.h"
#include "runtime/isa.h"
#include "runtime/memory.h"

namespace fastnn {
namespace {

constexpr int kDone = 0, kNoMemory = -1;

inline Philox place(const fastnn_random& r) { return {r.seed, r.stream, r.block}; }

inline Activation kind_of(fastnn_activation kind) { return Activation(int(kind)); }
#define FASTNN_ACTIVATION(name, NAME, ...) static_assert(int(FASTNN_##NAME) == int(Activation::name));
#include "steps/activations.inc"

template <class T>
ActivationOptions<T> options_of(double option, double threshold) {
  return {T(option), T(threshold)};
}

// run(scratch) with so many elements; what it returns, if that is anything.
template <class T, class Run>
int with_scratch(Index size, Run run) noexcept {
  const Scratch<T> scratch(size, std::nothrow);
  if (!scratch) return kNoMemory;
  if constexpr (std::is_same_v<decltype(run(scratch.get())), int>) return run(scratch.get());
  run(scratch.get());
  return kDone;
}

}  // namespace
}  // namespace fastnn
