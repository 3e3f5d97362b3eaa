// A list of gradients, and passes over all of them at once.
#pragma once

#include <vector>

#include "bind/tensor_list.h"
#include "kernels/args/optim.h"

namespace fastnn {

class Gradients {
 public:
  void add(Element element, void* grad, Index size);

  // Returns the squared norm in double, with the same bits for any number of threads.
  double sum_squares() const;
  void scale(double factor) const;
  void clamp(double low, double high) const;

 private:
  template <class Visit>
  void for_each_list(Visit visit) const;
  void pass(const GradientKernels& kernels, double low, double high) const;

  struct Gradient {
    void* data;
    Index size;
  };
  std::vector<Gradient> gradients_[kElements];
};

// Returns the factor that scales the gradients to a norm of at most max_norm.
double clip_factor(double norm, double max_norm);

}  // namespace fastnn
