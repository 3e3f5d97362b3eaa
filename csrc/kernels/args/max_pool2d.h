// Arguments of pooling.
#pragma once

#include "kernels/args/common.h"

namespace fastnn {

// Pooling along one axis: `outputs` windows of `window` elements. The first window begins `padding` elements before the
// input, and each next one `stride` elements later. All numbers but padding are at least 1; each window contains an
// element of the input.
struct PoolAxis {
  Index size, outputs, window, stride, padding;

  // The part of window number `output` within the input; `skipped` elements of the window come before it.
  struct Part {
    Index begin, end, skipped;
  };
  __attribute__((always_inline)) constexpr Part part(Index output) const {
    const Index begin = output * stride - padding, end = begin + window, first = begin < 0 ? 0 : begin;
    return {first, end < size ? end : size, first - begin};
  }
};

// Returns how many windows fit: 0 if the padded input is smaller than a window.
static constexpr Index pool_outputs(Index size, Index window, Index stride, Index padding) {
  return size + 2 * padding < window ? 0 : (size + 2 * padding - window) / stride + 1;
}

// x is (planes, height.size, width.size); y and index are (planes, height.outputs, width.outputs).
template <class T>
struct MaxPool2dArgs {
  T* y;
  std::uint8_t* index;  // the place of y in its window, counted row by row; may be null
  const T* x;
  Index planes;
  PoolAxis height, width;  // a window has at most kMostPlaces elements
};

template <class T>
struct MaxPool2dBackwardArgs {
  T* dx;
  const T* dy;
  const std::uint8_t* index;  // from forward; other values give another dx, but write nothing else
  Index planes;
  PoolAxis height, width;
};

static constexpr Index kMostPlaces = 255;

}  // namespace fastnn
