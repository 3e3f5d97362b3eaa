// What the functions of the C API (fastnn/include) share. They do not check pointers and sizes. They check enumerators and
// sizes of structs, which a module that was compiled with another version may have. They throw nothing.
#pragma once

#include <fastnn.h>

#include "calls/dropout.h"
#include "runtime/isa.h"
#include "runtime/memory.h"

namespace fastnn {
namespace {

constexpr int kDone = FASTNN_OK, kNoMemory = FASTNN_NO_MEMORY, kInvalid = FASTNN_INVALID;

inline Philox place(const fastnn_random& r) { return {r.seed, r.stream, r.block}; }

static_assert(FASTNN_IDENTITY == int(Activation::identity) && FASTNN_RELU == int(Activation::relu) &&
              FASTNN_LEAKY_RELU == int(Activation::leaky_relu) && FASTNN_ELU == int(Activation::elu) &&
              FASTNN_GELU == int(Activation::gelu) && FASTNN_GELU_TANH == int(Activation::gelu_tanh) &&
              FASTNN_SILU == int(Activation::silu) && FASTNN_SIGMOID == int(Activation::sigmoid) &&
              FASTNN_TANH == int(Activation::tanh) && FASTNN_SOFTPLUS == int(Activation::softplus));
inline bool is_known(fastnn_activation kind) { return kind >= FASTNN_IDENTITY && kind <= FASTNN_SOFTPLUS; }
inline Activation kind_of(fastnn_activation kind) { return Activation(kind); }

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
