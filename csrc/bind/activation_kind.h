// Looks up activations by name, with their options.
#pragma once

#include "bind/arrays.h"
#include "kernels/args/activation.h"

namespace fastnn {

struct ActivationKind {
  Activation kind;
  const char* name;
  bool from_output;    // whether the gradient is computed from the output
  const char* option;  // the name of the activation's first option, null if it has none
  double initial;      // the default of that option
};

// Raises ValueError with a list of all names if the name is unknown.
const ActivationKind& activation_kind(const std::string& name);

// Checks that the activation's options are finite in the dtype of `like`, and that beta is positive. Errors call the
// first option `name`.
void check_options(const ActivationKind& kind, const char* name, double first, double threshold, const Array& like);

}  // namespace fastnn
