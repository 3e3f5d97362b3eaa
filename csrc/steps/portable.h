// What the steps need from a compiler, for a CPU or a GPU.
#pragma once

#include <cstdint>

// A step is one scalar rule. It has internal linkage: the same rule is compiled once per instruction set, and the
// linker must never see two versions of one name. Its constants are `static constexpr` for the same reason.
#define FASTNN_STEP static inline __attribute__((always_inline))

namespace fastnn {

FASTNN_STEP float square_root(float x) { return __builtin_sqrtf(x); }
FASTNN_STEP double square_root(double x) { return __builtin_sqrt(x); }

// Returns the bits of x as a value of another type of the same size.
template <class To, class From>
FASTNN_STEP To bits_as(From x) {
  return __builtin_bit_cast(To, x);
}

}  // namespace fastnn
