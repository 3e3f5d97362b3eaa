// Arguments of losses. `scale` is 1 divided by the divisor of the losses; gradients are multiplied by it.
#pragma once

#include "kernels/args/common.h"

namespace fastnn {

// Losses over classes: logits are (rows, classes).
template <class T>
struct ClassLossArgs {
  T* dlogits;           // may be logits; null for the loss alone
  double* row_loss;     // (rows)
  double* row_mass;     // (rows), scratch memory for soft targets; else null
  const T* logits;
  const Index* labels;  // (rows), negative for ignored rows; null if there is a target
  const T* target;      // (rows, classes); null if there are labels
  const T* weight;      // (classes), may be null
  Index rows, classes;
  double scale, smoothing;
};

// Elementwise losses. A weight repeats after `period` elements. It has as many elements as a period and a block of
// kBlockElements, or as the whole input, so that a block reads it without a break.
template <class T>
struct LossArgs {
  T* dinput;            // may be input
  T* losses;            // the loss of each element; null for reductions
  double* partial;      // one sum for each block of kBlockElements; null if there are losses
  const T* input;
  const T* target;
  const T* weight;      // only for binary cross-entropy: both weights or none
  const T* pos_weight;
  Index size, weight_period, pos_weight_period;
  double scale, delta;  // delta is beta for smooth_l1_loss
  bool log_target;
};

// Negative log-likelihood of a normal distribution with mean `input` and variance `var`.
template <class T>
struct GaussianLossArgs {
  T* dinput;            // may be input
  T* dvar;              // may be var
  T* losses;            // as in LossArgs
  double* partial;
  const T* input;
  const T* target;
  const T* var;
  Index size;
  double scale, eps;
  bool full;
};

}  // namespace fastnn
