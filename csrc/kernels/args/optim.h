// Arguments of passes over lists of tensors: optimizer steps, and passes over gradients.
#pragma once

#include "kernels/args/common.h"

namespace fastnn {

// The tensors of a list are laid end to end, each padded to whole chunks, so that 400 small ones are cut into ranges
// like one large one; `end` is the running total of padded sizes.
static constexpr Index kChunk = 256;
static constexpr Index kScaleElements = kChunk / 4;  // this many elements of byte state share a scale
static constexpr Index padded(Index size) { return (size + kChunk - 1) / kChunk * kChunk; }

// One parameter of an optimizer. The types behind the pointers depend on the kernel's format.
template <class Constants>
struct StepSegment {
  void* theta;
  void* grad;
  void* state[3];    // as many as the rule needs
  float* scales[3];  // only for byte state
  bool is_signed[3];
  Index size, end;
  const Constants* constants;
};

template <class Constants>
struct StepArgs {
  const StepSegment<Constants>* segments;
  Index count;
  Philox random;   // a block of bits per chunk, for state smaller than float32
  bool zero_grad;  // write zeros over the gradients after reading them
};

// One gradient of a list. The type behind the pointer depends on the kernel's element type.
struct GradientSegment {
  void* grad;
  Index size, end;
};

struct GradientArgs {
  const GradientSegment* segments;
  Index count;
  double* partial;  // sum_squares: one sum for each block of kBlockElements
  double low, high; // scale: by low; clamp: between low and high
};

}  // namespace fastnn
