// Arguments of losses.
#pragma once

#include "kernels/args/common.h"

namespace fastnn {

template <class T>
struct CrossEntropyArgs {
  T* dlogits;        // may be logits
  double* row_loss;  // (rows)
  const T* logits;
  const Index* labels;
  Index rows, classes;
};

}  // namespace fastnn
