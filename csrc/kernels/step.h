// An optimizer step for a list of tensors. Parameters and state are updated in place; gradients are only read, or
// zeroed if asked for. No tensors may overlap. Elements are independent, so the bits are the same for any split.
#pragma once

#include <type_traits>

#include "kernels/flush.h"
#include "kernels/pieces.h"
#include "kernels/storage.h"

namespace fastnn {
namespace {

// The storage formats of parameters and gradients, and of state.
template <class ParamStorage, class StateStorage>
struct Format {
  using Param = ParamStorage;
  using State = StateStorage;
  using Real = typename Param::Real;
  static constexpr bool kConverts = Param::kConverts || State::kConverts;
};

// The constants are passed by value: behind a reference a store might change them, and the compiler would load them
// again for every vector.
template <int states, class Count, class T, class Constants, class Step>
inline void step_elements(Count n, T* theta, const T* g, T* s0, T* s1, T* s2, const Constants c, Step step) {
#pragma omp simd
  for (Index i = 0; i < n; ++i) {
    if constexpr (states == 0) step(c, theta[i], g[i]);
    if constexpr (states == 1) step(c, theta[i], g[i], s0[i]);
    if constexpr (states == 2) step(c, theta[i], g[i], s0[i], s1[i]);
    if constexpr (states == 3) step(c, theta[i], g[i], s0[i], s1[i], s2[i]);
  }
}

using Quarter = std::integral_constant<Index, kQuarter>;

// Steps n elements from `first` on, or a Quarter if elements are converted, with `bits` to round them. Inlined, or
// every quarter would load its constants again: AdamW with int8 state takes 0.35 ns per element in cache, and 0.39
// behind a call (Zen 5, AVX-512).
template <class F, int states, class Count, class Constants, class Step>
FASTNN_STEP void step_run(const StepSegment<Constants>& s, Index first, Count n, const std::uint32_t* bits, Step step) {
  using T = typename F::Real;
  alignas(64) T buffer[2 + states][F::kConverts ? kQuarter : 1];
  T* theta = F::Param::open(s.theta, first, n, buffer[0]);
  const T* g = F::Param::open(s.grad, first, n, buffer[1]);
  T* state[3] = {};
  for (int k = 0; k < states; ++k) {
    state[k] = F::State::open(s.state[k], s.scales[k], s.is_signed[k], first, buffer[2 + k]);
  }
  step_elements<states>(n, theta, g, state[0], state[1], state[2], *s.constants, step);
  F::Param::close(s.theta, first, n, theta);
  for (int k = 0; k < states; ++k) F::State::close(s.state[k], s.scales[k], s.is_signed[k], first, state[k], bits);
}

// The last n elements of a tensor, fewer than a quarter, in memory that has room for a whole quarter.
template <class F, int states, class Constants>
struct Rest {
  typename F::Param::Memory theta[kQuarter], grad[kQuarter];
  typename F::State::Memory state[states + 1][kQuarter];

  __attribute__((noinline)) StepSegment<Constants> read(const StepSegment<Constants>& s, Index first, Index n) {
    copy(theta, s.theta, first, n);
    copy(grad, s.grad, first, n);
    StepSegment<Constants> whole = s;
    whole.theta = theta;
    whole.grad = grad;
    for (int k = 0; k < states; ++k) {
      copy(state[k], s.state[k], first, n);
      whole.state[k] = state[k];
      if (s.scales[k]) whole.scales[k] = s.scales[k] + first / kQuarter;
    }
    return whole;
  }

  __attribute__((noinline)) void write(const StepSegment<Constants>& s, Index first, Index n) const {
    copy_back(s.theta, theta, first, n);
    for (int k = 0; k < states; ++k) copy_back(s.state[k], state[k], first, n);
  }

 private:
  template <class Memory>
  static void copy(Memory* room, const void* memory, Index first, Index n) {
    __builtin_memset(room, 0, kQuarter * sizeof(Memory));
    __builtin_memcpy(room, static_cast<const Memory*>(memory) + first, std::size_t(n) * sizeof(Memory));
  }
  template <class Memory>
  static void copy_back(void* memory, const Memory* room, Index first, Index n) {
    __builtin_memcpy(static_cast<Memory*>(memory) + first, room, std::size_t(n) * sizeof(Memory));
  }
};

// Calls step(constants, theta, g, state ...) for every element of a piece; `position` is the place of its first element
// in the list.
template <class F, int states, class Constants, class Step>
inline void step_piece(const StepArgs<Constants>& a, const StepSegment<Constants>& s, Index begin, Index end,
                       Index position, Step step) {
  if constexpr (!F::kConverts) {
    step_run<F, states>(s, begin, end - begin, nullptr, step);
  } else {
    alignas(64) std::uint32_t words[kBlockWords], bits[kQuarter];
    const Index rest = (end - begin) % kQuarter, last = end - rest;
    Rest<F, states, Constants> room;
    StepSegment<Constants> at = s;
    for (Index first = begin, stop = last;; first = 0, stop = kQuarter) {  // runs again for the rest, if there is one
      for (; first < stop; first += kQuarter, position += kQuarter) {
        if constexpr (F::State::kConverts) {
          if (position % kChunk == 0) philox_block(words, a.random, std::uint64_t(position / kChunk));
          rounding_bits(bits, words, position / kQuarter);
        }
        step_run<F, states>(at, first, Quarter(), bits, step);
      }
      if (at.theta != s.theta) room.write(s, last, rest);
      if (rest == 0 || at.theta != s.theta) break;
      at = room.read(s, last, rest);
    }
  }
  if (a.zero_grad) F::Param::clear(s.grad, begin, end - begin);
}

template <int count>
struct States {};

// Calls choose(constants, run) for every piece; it calls run(States<n>(), step) with the step for these constants.
template <class F, class Constants, class Choose>
inline void step_kernel(const StepArgs<Constants>& a, Choose choose) noexcept {
  if (a.count == 0) return;
  for_each_range(a.segments[a.count - 1].end, 1, [&a, choose](Index first, Index last) {
    const FlushDenormals flush;
    for_each_piece(a.segments, a.count, first, last, [&](const auto& s, Index begin, Index end, Index position) {
      choose(*s.constants, [&]<int states>(States<states>, auto step) {
        step_piece<F, states>(a, s, begin, end, position, step);
      });
    });
  });
}

}  // namespace
}  // namespace fastnn
