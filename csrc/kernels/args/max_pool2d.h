// Arguments of pooling.
#pragma once

#include "kernels/args/common.h"

namespace fastnn {

// Along one axis: `outputs` windows of `window` elements, the first of them beginning `padding` before the input, each next
// one `stride` later. All but padding are 1 at least; each window holds an element of the input.
struct PoolAxis {
  Index size, outputs, window, stride, padding;

  // What of window number `output` lies on the axis, and how much of it in front.
  struct Part {
    Index begin, end, skipped;
  };
  constexpr Part part(Index output) const {
    const Index begin = output * stride - padding, end = begin + window, first = begin < 0 ? 0 : begin;
    return {first, end < size ? end : size, first - begin};
  }
};

// As many windows as fit, none of them if less than 1.
static constexpr Index pool_outputs(Index size, Index window, Index stride, Index padding) {
  return size + 2 * padding < window ? 0 : (size + 2 * padding - window) / stride + 1;
}

// x is (planes, height.size, width.size); y and index are (planes, height.outputs, width.outputs).
template <class T>
struct MaxPool2dArgs {
  T* y;
  std::uint8_t* index;  // where in its window, row by row, y was found; may be null
  const T* x;
  Index planes;
  PoolAxis height, width;  // their windows hold kMostPlaces elements at most
};

template <class T>
struct MaxPool2dBackwardArgs {
  T* dx;
  const T* dy;
  const std::uint8_t* index;  // as forward wrote it; with other values dx is another, but nothing else is written
  Index planes;
  PoolAxis height, width;
};

static constexpr Index kMostPlaces = 255;

}  // namespace fastnn
