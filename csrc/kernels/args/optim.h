// Arguments of passes over lists of tensors: optimizer steps, gradients.
#pragma once

#include "kernels/args/common.h"

namespace fastnn {

// A list of tensors is laid end to end, each padded to whole chunks, so that 400 small ones are cut into ranges like one
// large one; `end` is the running total of padded sizes.
static constexpr Index kChunk = 256;
static constexpr Index kScaleElements = kChunk / 4;  // of state in bytes: as many share a scale
static constexpr Index padded(Index size) { return (size + kChunk - 1) / kChunk * kChunk; }

// One parameter of an optimizer; what the pointers point to depends on the table that the kernel is taken from.
template <class Constants>
struct StepSegment {
  void* theta;
  void* grad;
  void* state[3];    // as many as the rule has
  float* scales[3];  // of state in bytes
  bool is_signed[3];
  Index size, end;
  const Constants* constants;
};

template <class Constants>
struct StepArgs {
  const StepSegment<Constants>* segments;
  Index count;
  Philox random;   // a block of bits per chunk, for state in less than float32
  bool zero_grad;  // write zeros over the gradient once it has been read
};

// Passes over a list of gradients. All are T in memory, or bfloat16 with T = float in the table for that.
struct GradientSegment {
  void* grad;
  Index size, end;
};

struct GradientArgs {
  const GradientSegment* segments;
  Index count;
  double* partial;  // sum_squares: a sum for each block of kBlockElements
  double low, high; // scale: by low; clamp: between low and high
};

}  // namespace fastnn
