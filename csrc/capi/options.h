// The options that a caller gives, who may have been compiled with an older fastnn.h.
#pragma once

#include <fastnn.h>

#include <cstddef>
#include <cstring>

namespace fastnn {
namespace {

// As large as fastnn_options was in version 1.0; there has been no smaller one.
constexpr std::size_t kFirstOptionsSize = 128;
static_assert(offsetof(fastnn_options, zero_grad) + sizeof(fastnn_options::zero_grad) == kFirstOptionsSize);

// Copies the fields that the caller's struct has into `options` and sets the others to their defaults. Returns false, and
// leaves `options` unset, if the caller's struct has fields that are not known here, or was not made by fastnn.h.
inline bool read_options(const fastnn_options& given, fastnn_options& options) {
  if (given.struct_size < kFirstOptionsSize || given.struct_size > sizeof options) return false;
  options = fastnn_options_of(given.lr, given.beta2, given.eps);
  std::memcpy(&options, &given, given.struct_size);
  return true;
}

}  // namespace
}  // namespace fastnn
