// Names and options of the activations, without their formulas.
#pragma once

namespace fastnn {

enum class Activation {
#define FASTNN_ACTIVATION(name, ...) name,
#include "steps/activations.inc"
};

// An activation's own options: negative_slope, alpha or beta, and softplus's threshold.
template <class T>
struct ActivationOptions {
  T first, threshold;
};

}  // namespace fastnn
