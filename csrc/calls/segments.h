// Builds lists of tensors for the passes over all of them (kernels/args/optim.h): a segment per tensor, laid end to
// end, in memory that the caller provides.
#pragma once

#include "calls/optim_rules.h"
#include "calls/partial_sums.h"
#include "kernels/args/optim.h"

namespace fastnn {

template <class Segment>
class SegmentList {
 public:
  // `memory` must have room for every tensor that will be added.
  explicit SegmentList(Segment* memory) : segments_(memory) {}

  // Appends a tensor of `size` > 0 elements; the caller sets its pointers.
  Segment& add(Index size) {
    Segment& segment = segments_[count_++] = {};
    segment.size = size;
    segment.end = end_ += padded(size);
    return segment;
  }

  const Segment* get() const { return segments_; }
  Index count() const { return count_; }
  Index end() const { return end_; }

 private:
  Segment* segments_;
  Index count_ = 0, end_ = 0;
};

// The state of one kind of one parameter.
struct StateOf {
  void* data;
  float* scales;  // only for byte state
  bool is_signed;
};

// Adds a parameter to the list; state_of(kind) returns a StateOf.
template <class Constants, class Find>
void add_parameter(SegmentList<StepSegment<Constants>>& list, void* theta, void* grad, Index size, const Constants& constants,
                   const Kinds& kinds, Find state_of) {
  StepSegment<Constants>& s = list.add(size);
  s.theta = theta;
  s.grad = grad;
  s.constants = &constants;
  for (int k = 0; k < kinds.count; ++k) {
    const StateOf state = state_of(kinds.at[k]);
    s.state[k] = state.data;
    s.scales[k] = state.scales;
    s.is_signed[k] = state.is_signed;
  }
}

// Returns `total` plus the squares of all gradients. Calls run(kernel arguments); `partial` must have room for
// partial_sums_of(list.end()) doubles.
template <class Run>
double add_squares(double total, const SegmentList<GradientSegment>& list, double* partial, Run run) {
  run(GradientArgs{.segments = list.get(), .count = list.count(), .partial = partial, .low = 0, .high = 0});
  for (Index i = 0; i < partial_sums_of(list.end()); ++i) total += partial[i];
  return total;
}

}  // namespace fastnn
