// The arguments of every kernel: outputs, saved statistics, inputs, sizes, options. Pointers are never null unless
// said so, and never overlap unless said so; whoever fills these has checked that.
#pragma once

#include <cstdint>

namespace fastnn {

using Index = std::int64_t;

// Elementwise. y may be x, dx may be dy.
template <class T>
struct MapArgs {
  T* y;
  const T* x;
  const T* dy;  // backward only
  Index size;
};

struct Philox {
  std::uint64_t seed, stream, block;
};

template <class T>
struct DropoutArgs {
  T* y;  // may be x
  const T* x;
  Index size;
  Philox random;
  std::uint32_t threshold;  // drop where 16 random bits are below
  T scale;
};

template <class T>
struct FillArgs {
  T* y;
  Index size;
  Philox random;
  T shift, scale, largest;  // shift + scale * value, at most `largest`
};

// A list of tensors is laid end to end, each padded to whole chunks, so that 400 small ones are cut into ranges like one
// large one; `end` is the running total of padded sizes.
constexpr Index kChunk = 256;
constexpr Index kScaleElements = kChunk / 4;  // of state in bytes: as many share a scale
constexpr Index padded(Index size) { return (size + kChunk - 1) / kChunk * kChunk; }

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

// x is (rows, columns); statistics are per row.
template <class T>
struct RowNormArgs {
  T* y;  // may be x
  double* mean;
  double* rstd;
  const T* x;
  const T* weight;  // may be null
  const T* bias;    // may be null
  Index rows, columns;
  double eps;
};

template <class T>
struct RowNormBackwardArgs {
  T* dx;  // may be dy
  T* dweight;
  T* dbias;
  T* partial;  // (row_norm_blocks(rows), 2, columns)
  const T* dy;
  const T* x;
  const T* weight;  // may be null
  const double* mean;
  const double* rstd;
  Index rows, columns;
};

constexpr Index kRowsPerPartial = 64;
constexpr Index row_norm_blocks(Index rows) { return (rows + kRowsPerPartial - 1) / kRowsPerPartial; }

// x is (outer, channels, inner); statistics are per channel.
template <class T>
struct ChannelNormArgs {
  T* y;  // may be x
  double* mean;
  double* rstd;
  T* running_mean;  // may be null in training
  T* running_var;   // may be null in training
  const T* x;
  const T* weight;  // may be null
  const T* bias;    // may be null
  Index outer, channels, inner;
  double momentum, eps;
  bool training;
};

template <class T>
struct ChannelNormBackwardArgs {
  T* dx;  // may be dy
  T* dweight;
  T* dbias;
  const T* dy;
  const T* x;
  const T* weight;  // may be null
  const double* mean;
  const double* rstd;
  Index outer, channels, inner;
  bool training;
};

template <class T>
struct CrossEntropyArgs {
  T* dlogits;        // may be logits
  double* row_loss;  // (rows)
  const T* logits;
  const Index* labels;
  Index rows, classes;
};

// The least that a kernel of some access pattern can do; measures the memory, not the arithmetic.
template <class T>
struct StreamArgs {
  T* updated[3];
  T* written;
  const T* read[2];
  Index size;
  int updates, writes, reads;
};

}  // namespace fastnn
