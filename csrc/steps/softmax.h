// Gradients of softmax and log-softmax: I. Goodfellow et al., "Deep learning", 2016, 6.2.2.3. y is the result of the
// forward pass; `total` is the sum of term() over the classes.
#pragma once

#include "steps/math.h"

namespace fastnn {

template <class T>
struct SoftmaxGradient {
  FASTNN_STEP T term(T dy, T y) { return dy * y; }
  FASTNN_STEP T gradient(T dy, T y, T total) { return y * (dy - total); }
};

template <class T>
struct LogSoftmaxGradient {
  FASTNN_STEP T term(T dy, T) { return dy; }
  FASTNN_STEP T gradient(T dy, T y, T total) { return dy - exponential(y) * total; }
};

}  // namespace fastnn
