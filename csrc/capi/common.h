// Code that the functions of the C API (fastnn/include) share. They do not check pointers and sizes. They check
// enumerators and struct sizes, which differ in a module that was compiled with another version. They throw nothing.
#pragma once

#include <fastnn.h>

#include <type_traits>

#include "calls/dropout.h"
#include "kernels/args/activation.h"
#include "runtime/isa.h"
#include "runtime/memory.h"

namespace fastnn {
namespace {

constexpr int kDone = FASTNN_OK, kNoMemory = FASTNN_NO_MEMORY, kInvalid = FASTNN_INVALID;

inline Philox place(const fastnn_random& r) { return {r.seed, r.stream, r.block}; }

#define FASTNN_ACTIVATION(name, NAME, ...) static_assert(FASTNN_##NAME == int(Activation::name));
#include "steps/activations.inc"
constexpr int kActivations = 0
#define FASTNN_ACTIVATION(...) +1
#include "steps/activations.inc"
    ;
inline bool is_known(fastnn_activation kind) { return kind >= FASTNN_IDENTITY && kind < kActivations; }
inline Activation kind_of(fastnn_activation kind) { return Activation(kind); }

template <class T>
ActivationOptions<T> options_of(double option, double threshold) {
  return {T(option), T(threshold)};
}

// Calls run(scratch) with memory for `size` elements. Returns what run returns, or kDone if it returns nothing.
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
