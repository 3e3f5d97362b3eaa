// Cuts a list of tensors into equal ranges, wherever tensors begin or end. Ranges and tensors begin at whole chunks.
#pragma once

#include "kernels/args/optim.h"
#include "kernels/parallel.h"

namespace fastnn {
namespace {

static_assert(kBlockElements % kChunk == 0, "a range is made of whole chunks");

// Calls body(segment, begin, end, position) for the pieces of segments that make up a range of the list. begin and end
// count from the tensor's first element; position is the place of `begin` in the list.
template <class Segment, class Body>
inline void for_each_piece(const Segment* segments, Index count, Index begin, Index end, Body body) {
  Index low = 0, high = count - 1;
  while (low < high) {  // finds the first segment that ends after `begin`
    const Index middle = (low + high) / 2;
    if (segments[middle].end > begin) high = middle; else low = middle + 1;
  }
  for (Index s = low; begin < end; ++s) {
    const Index start = segments[s].end - padded(segments[s].size);
    const Index last = segments[s].end < end ? segments[s].end : end;
    const Index stop = last - start < segments[s].size ? last - start : segments[s].size;
    body(segments[s], begin - start, stop, begin);
    begin = last;
  }
}

}  // namespace
}  // namespace fastnn
