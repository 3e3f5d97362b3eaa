// What the bindings of random numbers share.
#pragma once

#include "bind/arrays.h"
#include "kernels/args/random.h"

namespace fastnn {

// Where in a stream a draw begins: `offset` counts words, of which a value takes as many as are in it.
struct Place {
  Philox random;
  Index skip;
};

inline Place place(std::uint64_t seed, std::uint64_t stream, std::uint64_t offset, py::ssize_t itemsize) {
  return {{seed, stream, offset / 64}, Index(offset % 64) * 4 / Index(itemsize)};
}

}  // namespace fastnn
