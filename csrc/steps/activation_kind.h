// Names and options of the activations, without their formulas.
#pragma once

namespace fastnn {

enum class Activation {
#define FASTNN_ACTIVATION(name, ...) name,
#include "steps/activations.inc"
};

// The option of an activation (negative_slope, alpha or beta), and the threshold of softplus.
template <class T>
struct ActivationOptions {
  T first, threshold;
};

}  // namespace fastnn
