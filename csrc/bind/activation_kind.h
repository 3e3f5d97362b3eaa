// Which activation a name means, and its options.
#pragma once

#include "bind/arrays.h"
#include "kernels/args/activation.h"

namespace fastnn {

struct ActivationKind {
  Activation kind;
  const char* name;
  bool from_output;    // its gradient is taken from its output
  const char* option;  // the name of its own first option, null if it has none
  double initial;      // that option's default
};

// ValueError with all the names for another one.
const ActivationKind& activation_kind(const std::string& name);

// That the options it has are numbers which the elements' type holds, and beta is above zero; `name` is the first one's in
// sentences.
void check_options(const ActivationKind& kind, const char* name, double first, double threshold, const Array& like);

}  // namespace fastnn
