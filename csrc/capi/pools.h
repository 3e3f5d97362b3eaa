// Pooling.
#pragma once

#include "capi/common.h"
#include "kernels/args/max_pool2d.h"

namespace fastnn {
namespace {

inline PoolAxis pool_axis(Index size, Index window, Index stride, Index padding) {
  return {.size = size, .outputs = pool_outputs(size, window, stride, padding), .window = window, .stride = stride,
          .padding = padding};
}

template <class T>
int max_pool2d(T* y, std::uint8_t* index, const T* x, Index planes, Index height, Index width, Index window_height,
               Index window_width, Index stride_height, Index stride_width, Index padding_height,
               Index padding_width) noexcept {
  kernels_for<T>().max_pool2d({.y = y, .index = index, .x = x, .planes = planes,
                               .height = pool_axis(height, window_height, stride_height, padding_height),
                               .width = pool_axis(width, window_width, stride_width, padding_width)});
  return kDone;
}

template <class T>
int max_pool2d_backward(T* dx, const T* dy, const std::uint8_t* index, Index planes, Index height, Index width,
                        Index window_height, Index window_width, Index stride_height, Index stride_width,
                        Index padding_height, Index padding_width) noexcept {
  kernels_for<T>().max_pool2d_backward({.dx = dx, .dy = dy, .index = index, .planes = planes,
                                        .height = pool_axis(height, window_height, stride_height, padding_height),
                                        .width = pool_axis(width, window_width, stride_width, padding_width)});
  return kDone;
}

}  // namespace
}  // namespace fastnn
