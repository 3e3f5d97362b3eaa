// Losses over classes and their gradients: logits and dlogits are (rows, classes), labels are (rows). dlogits may be
// logits, or null if only the loss is wanted. row_loss receives the loss of each row, and the caller sums it. Let t be
// the target probabilities times the class weights, m the sum of t, and z the logits minus their largest. Then the loss
// is m ln(sum of e^z) - sum of t z, and its gradient m softmax(z) - t. Source: I. Goodfellow et al., "Deep learning",
// 2016, 6.2.2.3.
#pragma once

#include "kernels/affine.h"
#include "kernels/args/loss.h"
#include "kernels/softmax_rows.h"
#include "steps/loss.h"

namespace fastnn {
namespace {

// An ignored row has loss 0 and gradient 0, whatever its logits are.
template <class T>
inline void clear_row(const ClassLossArgs<T>& a, Index row) {
  a.row_loss[row] = 0;
  if (!a.dlogits) return;
  T* dlogits = a.dlogits + row * a.classes;
  for (Index i = 0; i < a.classes; ++i) dlogits[i] = 0;
}

// One label per row: t is the weight of the label at the label, and 0 elsewhere.
template <class T>
inline void label_rows(const ClassLossArgs<T>& a, Index begin, Index end) {
  T* dlogits = a.dlogits;
  const T *logits = a.logits, *weight = a.weight;
  const Index *labels = a.labels, n = a.classes;
  double* row_loss = a.row_loss;
  const double gradient_scale = a.scale;
  exponential_rows(
      dlogits, logits, n, begin, end,
      [=](Index row, T shift) {
        const Index label = labels[row];
        if (label >= 0) row_loss[row] = -part_of(double(weight_at(weight, label)), double(logits[row * n + label] - shift));
      },
      [=, &a](Index row, double total) {
        const Index label = labels[row];
        if (label < 0) return clear_row(a, row);
        const double mass = double(weight_at(weight, label));
        row_loss[row] += mass * logarithm(total);
        if (!dlogits) return;
        const T scale = T(mass * gradient_scale / total);
#pragma omp simd
        for (Index i = row * n; i < (row + 1) * n; ++i) dlogits[i] *= scale;
        dlogits[row * n + label] -= T(mass * gradient_scale);
      });
}

template <class T>
void softmax_cross_entropy_kernel(const ClassLossArgs<T>& a) noexcept {
  for_each_rows(a.rows, a.classes, [=, &a](Index begin, Index end) { label_rows(a, begin, end); });
}

// Targets with a share in every class: share(i, c), where i is the element's index in logits. With labels, `peak` times
// the label's weight is added at the label.
template <class T, class Share>
inline void soft_rows(const ClassLossArgs<T>& a, Index begin, Index end, double peak, Share share) {
  T* dlogits = a.dlogits;
  const T *logits = a.logits, *weight = a.weight;
  const Index *labels = a.labels, n = a.classes;
  double *row_loss = a.row_loss, *row_mass = a.row_mass;
  const double gradient_scale = a.scale;
  const T share_scale = T(a.scale);
  exponential_rows(
      dlogits, logits, n, begin, end,
      [=](Index row, T shift) {
        if (labels && labels[row] < 0) return;
        const double mass = row_sum(n, [=](Index c) { return double(share(row * n + c, c)); });
        const double loss = row_sum(n, [=](Index c) {
          return double(part_of(share(row * n + c, c), logits[row * n + c] - shift));
        });
        const Index label = labels ? labels[row] : 0;
        const double at_label = labels ? peak * double(weight_at(weight, label)) : 0.0;
        row_mass[row] = mass + at_label;
        row_loss[row] = -loss - part_of(at_label, double(logits[row * n + label] - shift));
      },
      [=, &a](Index row, double total) {
        if (labels && labels[row] < 0) return clear_row(a, row);
        row_loss[row] += row_mass[row] * logarithm(total);
        if (!dlogits) return;
        const T scale = T(row_mass[row] * gradient_scale / total);
        T* d = dlogits + row * n;
#pragma omp simd
        for (Index c = 0; c < n; ++c) d[c] = d[c] * scale - share(row * n + c, c) * share_scale;
        if (labels) d[labels[row]] -= T(peak * double(weight_at(weight, labels[row])) * gradient_scale);
      });
}

// Smoothed labels, or probabilities with or without smoothing.
template <class T>
void softmax_cross_entropy_soft_kernel(const ClassLossArgs<T>& a) noexcept {
  const double keep = 1 - a.smoothing;
  const T kept = T(keep), uniform = T(a.smoothing / double(a.classes));
  const T *target = a.target, *weight = a.weight;
  for_each_rows(a.rows, a.classes, [=, &a](Index begin, Index end) {
    if (target && weight) {
      soft_rows(a, begin, end, 0.0, [=](Index i, Index c) { return weight[c] * smoothed(target[i], kept, uniform); });
    } else if (target) {
      soft_rows(a, begin, end, 0.0, [=](Index i, Index) { return smoothed(target[i], kept, uniform); });
    } else {
      soft_rows(a, begin, end, keep, [=](Index, Index c) { return weight_at(weight, c) * uniform; });
    }
  });
}

// Negative log-likelihood; `logits` holds log-probabilities here.
template <class T>
void nll_loss_kernel(const ClassLossArgs<T>& a) noexcept {
  for_each_range(a.rows, a.classes, [=, &a](Index begin, Index end) {
    for (Index row = begin; row < end; ++row) {
      const Index label = a.labels[row];
      const double loss = label < 0 ? 0.0 : -double(weight_at(a.weight, label)) * double(a.logits[row * a.classes + label]);
      clear_row(a, row);
      if (label < 0) continue;
      a.row_loss[row] = loss;
      if (a.dlogits) a.dlogits[row * a.classes + label] = T(-double(weight_at(a.weight, label)) * a.scale);
    }
  });
}

}  // namespace
}  // namespace fastnn
