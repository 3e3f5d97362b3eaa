// Arguments of losses. `scale` is one over what the losses are divided by; the gradient is multiplied by it.
#pragma once

#include "kernels/args/common.h"

namespace fastnn {

// Losses over classes: logits are (rows, classes).
template <class T>
struct ClassLossArgs {
  T* dlogits;           // may be logits
  double* row_loss;     // (rows)
  double* row_mass;     // (rows), scratch of soft targets; else null
  const T* logits;
  const Index* labels;  // (rows), negative where a row does not count; null with target
  const T* target;      // (rows, classes); null with labels
  const T* weight;      // (classes), may be null
  Index rows, classes;
  double scale, smoothing;
};

// Losses element by element. A weight repeats after `period` elements; it is as long as a period and a block of
// kBlockElements, or as the whole, so that a block reads it without a break.
template <class T>
struct LossArgs {
  T* dinput;            // may be input
  double* partial;      // a sum for each block of kBlockElements
  const T* input;
  const T* target;
  const T* weight;      // null but for binary cross-entropy, and there both or none
  const T* pos_weight;
  Index size, weight_period, pos_weight_period;
  double scale, delta;
  bool log_target;
};

}  // namespace fastnn
