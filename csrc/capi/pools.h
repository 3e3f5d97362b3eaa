// Pooling.
#pragma once

#include "capi/common.h"
#include "kernels/args/max_pool2d.h"

namespace fastnn {
namespace {

inline PoolAxis pool_axis(Index size, Index window, Index stride, Index padding) {
  return {size, pool_outputs(size, window, stride, padding), window, stride, padding};
}

template <class T>
int max_pool(T* y, std::uint8_t* index, const T* x, Index planes, Index height, Index width, Index window_height,
             Index window_width, Index stride_height, Index stride_width, Index padding_height, Index padding_width) noexcept {
  kernels_for<T>().max_pool2d({y, index, x, planes, pool_axis(height, window_height, stride_height, padding_height),
                             pool_axis(width, window_width, stride_width, padding_width)});
  return kDone;
}

template <class T>
int max_pool_backward(T* dx, const T* dy, const std::uint8_t* index, Index planes, Index height, Index width,
                      Index window_height, Index window_width, Index stride_height, Index stride_width, Index padding_height,
                      Index padding_width) noexcept {
  kernels_for<T>().max_pool2d_backward({dx, dy, index, planes, pool_axis(height, window_height, stride_height, padding_height),
                                      pool_axis(width, window_width, stride_width, padding_width)});
  return kDone;
}

}  // namespace
}  // namespace fastnn
