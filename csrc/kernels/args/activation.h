// Arguments of activations, alone or after a bias, and of the elementary functions that they consist of.
#pragma once

#include "kernels/args/common.h"
#include "steps/activation_kind.h"

namespace fastnn {

// Elementwise. y may be x. In backward, y is dx and may be dy or x.
template <class T>
struct ActivationArgs {
  T* y;
  const T* x;   // the output for sigmoid and tanh in backward
  const T* dy;  // backward only
  Index size;
  Activation kind;
  ActivationOptions<T> options;
};

// x is (rows, columns).
template <class T>
struct BiasActivationArgs {
  T* y;  // may be x; in backward, y is dx and may be dy, x or null
  const T* x;
  const T* bias;  // (columns), may be null
  Index rows, columns;
  Activation kind;
  ActivationOptions<T> options;
  bool masked;  // with dropout; the other fields are as in DropoutArgs
  Philox random;
  std::uint32_t threshold;
  T scale;
  const T* dy;  // backward only, as are the fields below
  T* dbias;     // may be null
  T* partial;   // (bias_blocks(rows), columns); used only with dbias
};

// Elements [first, first + count) of y, for a product that has just completed these elements of x.
template <class T>
struct BiasActivationRange {
  const BiasActivationArgs<T>& all;
  Index first, count;
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
