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

// a * b + c with one rounding. -ffp-contract=off lets the compiler fuse nothing else, so results do not depend on it.
#if defined(__FMA__) || defined(__aarch64__) || defined(__CUDA_ARCH__)
FASTNN_STEP float fused(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
#else
// Without the instruction: the product is exact in double. The sum is rounded to odd there, from its error (2Sum, Knuth
// 1969), so that the second rounding, to float, is the only one that counts (Boldo, Melquiond 2008). That holds for
// subnormal results too, which double represents with bits to spare.
FASTNN_STEP float fused(float a, float b, float c) {
  const double product = double(a) * double(b), addend = c;
  const double sum = product + addend, part = sum - product;
  const double error = (product - (sum - part)) + (addend - part);
  const auto bits = bits_as<std::int64_t>(sum);
  const auto opposite = std::int64_t(bits_as<std::uint64_t>(error) >> 63 ^ bits_as<std::uint64_t>(sum) >> 63);
  const std::int64_t to_odd = __builtin_fabs(error) > 0 ? 1 - 2 * opposite : 0;  // 0 for NaN: sum is NaN or infinite
  return float(bits_as<double>(bits + (to_odd & ((bits & 1) - 1))));
}
#endif
FASTNN_STEP double fused(double a, double b, double c) { return __builtin_fma(a, b, c); }

// The same where a * b is exact, so that it needs no emulation.
template <class T>
FASTNN_STEP T fused_exact(T a, T b, T c) {
#if defined(__FMA__) || defined(__aarch64__) || defined(__CUDA_ARCH__)
  return fused(a, b, c);
#else
  return a * b + c;
#endif
}

}  // namespace fastnn
