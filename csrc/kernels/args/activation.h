// Arguments of activations, alone and behind a bias, and of the functions that they are made of.
#pragma once

#include "kernels/args/common.h"
#include "steps/activation_kind.h"

namespace fastnn {

// Elementwise. y may be x; backward, y is dx and may be dy or x.
template <class T>
struct ActivationArgs {
  T* y;
  const T* x;   // of sigmoid and tanh backward the output
  const T* dy;  // backward only
  Index size;
  Activation kind;
  ActivationOptions<T> options;
};

// x is (rows, columns).
template <class T>
struct BiasActivationArgs {
  T* y;  // may be x; backward, y is dx and may be dy or x
  const T* x;
  const T* bias;  // (columns), may be null
  Index rows, columns;
  Activation kind;
  ActivationOptions<T> options;
  bool masked;  // with dropout: the rest is as in DropoutArgs
  Philox random;
  std::uint32_t threshold;
  T scale;
  const T* dy;  // backward only, as what follows
  T* dbias;     // may be null
  T* partial;   // (bias_blocks(rows), columns) where dbias is given
};

static constexpr Index kRowsPerBiasPart = 64;
static constexpr Index bias_blocks(Index rows) { return (rows + kRowsPerBiasPart - 1) / kRowsPerBiasPart; }

enum class Elementary { exp, log, tanh, erf };

template <class T>
struct ElementaryArgs {
  T* y;  // may be x
  const T* x;
  Index size;
  Elementary kind;
};

}  // namespace fastnn
