// Code that the bindings of random numbers share.
#pragma once

#include "bind/arrays.h"
#include "kernels/args/random.h"

namespace fastnn {

// Where a draw begins in its stream: `offset` counts 32-bit words, and a value takes as many words as it has.
struct Place {
  Philox random;
  Index skip;
};

inline Place place(std::uint64_t seed, std::uint64_t stream, std::uint64_t offset, py::ssize_t itemsize) {
  const auto words = std::uint64_t(kBlockWords);
  return {{seed, stream, offset / words}, Index(offset % words) * 4 / Index(itemsize)};
}

}  // namespace fastnn
