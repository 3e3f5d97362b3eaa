// Softmax cross-entropy of one row: loss = ln(sum_j e^(z_j - max)) - (z_label - max), gradient softmax - one_hot.
// Source: J. Bridle, "Probabilistic interpretation of feedforward classification network outputs", 1990; shifted by
// the row's maximum so that nothing overflows.
#pragma once

#include "steps/math.h"

namespace fastnn {

template <class T>
FASTNN_STEP double row_cross_entropy(double sum_of_exponentials, T shifted_label_logit) {
  return logarithm(sum_of_exponentials) - double(shifted_label_logit);
}

}  // namespace fastnn
