// Group norm: x is (outer, channels, inner), with statistics per sample and group of neighbouring channels, whose
// elements are contiguous. A group is read from memory once: the variance, result and gradients read it again from
// cache. With as many groups as channels this is instance norm. y may be x, dx may be dy or x.
#pragma once

#include "kernels/affine.h"
#include "kernels/args/group_norm.h"
#include "kernels/gradient_sums.h"
#include "kernels/moments.h"
#include "kernels/parts.h"
#include "steps/norm.h"

namespace fastnn {
namespace {

// `row` is sample * groups + group. With inner == 1 every element has its own weight and bias.
template <class T>
inline void norm_group(const GroupNormArgs<T>& a, Index row) {
  const Index width = a.channels / a.groups, inner = a.inner, first = row % a.groups * width;
  const T* x = a.x + row * width * inner;
  T* y = a.y + row * width * inner;
  const MeanVariance s = mean_variance(x, width * inner);
  const double rstd = reciprocal_deviation(s.variance, a.eps);
  a.mean[row] = s.mean;
  a.rstd[row] = rstd;
  if (a.variance) a.variance[row] = s.variance;
  const Moments<T> m = moments<T>(s.mean, rstd);
  const T *weight = a.weight, *bias = a.bias;
  if (inner == 1) {
#pragma omp simd
    for (Index c = 0; c < width; ++c) y[c] = normalise(x[c], m) * weight_at(weight, first + c) + bias_at(bias, first + c);
    return;
  }
  for (Index c = 0; c < width; ++c, x += inner, y += inner) {
    const T w = weight_at(weight, first + c), b = bias_at(bias, first + c);
#pragma omp simd
    for (Index i = 0; i < inner; ++i) y[i] = normalise(x[i], m) * w + b;
  }
}

// Updates the running statistics with the averages over the samples of the means and of the unbiased variances.
template <class T>
inline void update_running(const GroupNormArgs<T>& a) {
  const double samples = double(a.outer), count = double(a.channels / a.groups * a.inner);
  for (Index group = 0; group < a.groups; ++group) {
    double mean = 0, variance = 0;
    for (Index row = group; row < a.outer * a.groups; row += a.groups) {
      mean += a.mean[row];
      variance += a.variance[row] * (count / (count - 1));
    }
    a.running_mean[group] = running_average(a.running_mean[group], mean / samples, a.momentum);
    a.running_var[group] = running_average(a.running_var[group], variance / samples, a.momentum);
  }
}

template <class T>
void group_norm_kernel(const GroupNormArgs<T>& a) noexcept {
  for_each_range(a.outer * a.groups, a.channels / a.groups * a.inner, [=, &a](Index begin, Index end) {
    for (Index row = begin; row < end; ++row) norm_group(a, row);
  });
  if (a.running_mean) update_running(a);
}

// dweight and dbias receive the sums of this sample for the channels of the group.
template <class T>
inline void norm_group_backward(const GroupNormBackwardArgs<T>& a, double* dweight, double* dbias, Index row) {
  const Index width = a.channels / a.groups, inner = a.inner, first = row % a.groups * width;
  const T *x = a.x + row * width * inner, *dy = a.dy + row * width * inner, *weight = a.weight;
  T* dx = a.dx + row * width * inner;
  const Moments<T> m = moments<T>(a.mean[row], a.rstd[row]);
  for (Index c = 0; c < width; ++c) {
    const T *xc = x + c * inner, *dyc = dy + c * inner;
    const Pair sums = gradient_sums<T>(inner, [=](Index i) { return Terms<T>{dyc[i], normalise(xc[i], m)}; });
    dbias[c] = sums.first;
    dweight[c] = sums.second;
  }
  const double count = double(width * inner);
  const Pair sums = sum_pairs(width, [=](Index c) {
    const double w = double(weight_at(weight, first + c));
    return Pair{w * dbias[c], w * dweight[c]};
  });
  const T mean_g = T(sums.first / count), mean_gx = T(sums.second / count);
  for (Index c = 0; c < width; ++c, x += inner, dy += inner, dx += inner) {
    const T w = weight_at(weight, first + c);
#pragma omp simd
    for (Index i = 0; i < inner; ++i) dx[i] = normalise_gradient(dy[i] * w, normalise(x[i], m), mean_g, mean_gx, m.rstd);
  }
}

// The same for inner == 1, where a channel is one element; this adds to dweight and dbias.
template <class T>
inline void norm_columns_backward(const GroupNormBackwardArgs<T>& a, double* dweight, double* dbias, Index row) {
  const Index width = a.channels / a.groups, first = row % a.groups * width;
  const T *x = a.x + row * width, *dy = a.dy + row * width, *weight = a.weight;
  T* dx = a.dx + row * width;
  const Moments<T> m = moments<T>(a.mean[row], a.rstd[row]);
  const Pair sums =
      gradient_sums<T>(width, [=](Index c) { return Terms<T>{dy[c] * weight_at(weight, first + c), normalise(x[c], m)}; });
  const T mean_g = T(sums.first / double(width)), mean_gx = T(sums.second / double(width));
#pragma omp simd
  for (Index c = 0; c < width; ++c) {
    const T normalised = normalise(x[c], m), g = dy[c];
    dweight[c] += double(g * normalised);
    dbias[c] += double(g);
    dx[c] = normalise_gradient(g * weight_at(weight, first + c), normalised, mean_g, mean_gx, m.rstd);
  }
}

template <class T>
void group_norm_backward_kernel(const GroupNormBackwardArgs<T>& a) noexcept {
  const Index parts = group_norm_parts(a.outer, a.inner), rows = group_norm_part(a.inner), width = a.channels / a.groups;
  for_each_range(parts * a.groups, rows * width * a.inner, [=, &a](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      const Index part = i / a.groups, group = i % a.groups;
      double *dweight = a.partial + part * 2 * a.channels + group * width, *dbias = dweight + a.channels;
      if (a.inner != 1) {
        norm_group_backward(a, dweight, dbias, i);
        continue;
      }
      for (Index c = 0; c < width; ++c) dweight[c] = dbias[c] = 0;
      const Index last = (part + 1) * rows < a.outer ? (part + 1) * rows : a.outer;
      for (Index sample = part * rows; sample < last; ++sample) {
        norm_columns_backward(a, dweight, dbias, sample * a.groups + group);
      }
    }
  });
  add_parts(a.dweight, a.partial, parts, 2 * a.channels, a.channels);
  add_parts(a.dbias, a.partial + a.channels, parts, 2 * a.channels, a.channels);
}

}  // namespace
}  // namespace fastnn
