// While an object of this class lives, denormal numbers are read and written as zero. Without it, a momentum that
// decays towards zero would stay denormal for good, at a hundred cycles per operation on some CPUs. The destructor
// restores the caller's mode, exception flags included.
#pragma once

#include <cstdint>

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace fastnn {
namespace {

class FlushDenormals {
 public:
  FlushDenormals(const FlushDenormals&) = delete;
#if defined(__SSE2__)
  FlushDenormals() : mode_(_mm_getcsr()) { _mm_setcsr(mode_ | 0x8040); }
  ~FlushDenormals() { _mm_setcsr(mode_); }

 private:
  unsigned mode_;
#elif defined(__aarch64__)
  FlushDenormals() {
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode_));
    __asm__ volatile("msr fpcr, %0" : : "r"(mode_ | (std::uint64_t(1) << 24)));
  }
  ~FlushDenormals() { __asm__ volatile("msr fpcr, %0" : : "r"(mode_)); }

 private:
  std::uint64_t mode_;
#else
  FlushDenormals() {}
#endif
};

}  // namespace
}  // namespace fastnn
