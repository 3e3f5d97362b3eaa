// What a step needs of its compiler, be that one for a CPU or for a GPU.
#pragma once

#include <cstdint>

// A step is one scalar rule. It has internal linkage: the same rule is compiled once per instruction set, and the linker must
// never be offered two versions of one name. Its constants are `static constexpr` for the same reason.
#define FASTNN_STEP static inline __attribute__((always_inline))

namespace fastnn {

FASTNN_STEP float square_root(float x) { return __builtin_sqrtf(x); }
FASTNN_STEP double square_root(double x) { return __builtin_sqrt(x); }

// The bits of x as another type of the same size.
template <class To, class From>
FASTNN_STEP To bits_as(From x) {
  return __builtin_bit_cast(To, x);
}

}  // namespace fastnn
