// Reads options from a caller that was compiled with another version of fastnn.h.
#pragma once

#include <fastnn.h>

#include <cstddef>
#include <cstring>

namespace fastnn {
namespace {

// The size of fastnn_options in version 1.0. No later version is smaller.
constexpr std::size_t kFirstOptionsSize = 128;
static_assert(offsetof(fastnn_options, zero_grad) + sizeof(fastnn_options::zero_grad) == kFirstOptionsSize);

// Returns the caller's options with all fields of this version: `given` if it has all of them, else `room`, filled with
// the fields of `given` and the defaults of the others. Returns null if `given` has fields that are unknown here, or
// was not made by fastnn.h.
inline const fastnn_options* read_options(const fastnn_options& given, fastnn_options& room) {
  if (given.struct_size == sizeof room) return &given;
  if (given.struct_size < kFirstOptionsSize || given.struct_size > sizeof room) return nullptr;
  room = fastnn_options_of(given.lr, given.beta2, given.eps);
  std::memcpy(&room, &given, given.struct_size);
  return &room;
}

}  // namespace
}  // namespace fastnn
