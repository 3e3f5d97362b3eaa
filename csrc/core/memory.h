// Blocks for large results. Fresh memory costs ten times what writing it does, in page faults; so a block that is let
// go is kept for the next result of its size. Blocks are aligned to huge pages and ask for them.
#pragma once

#include <cstddef>

namespace fastnn {

// Below this the C library reuses memory well enough by itself.
constexpr std::size_t kHugePage = std::size_t(2) << 20;

// Null where the machine has no memory left. `bytes` must be the same in both calls.
void* acquire_block(std::size_t bytes) noexcept;
void release_block(void* block, std::size_t bytes) noexcept;

}  // namespace fastnn
