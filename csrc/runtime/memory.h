// Blocks of memory for results and scratch. The page faults of fresh memory cost ten times what writing it does. So a
// released block is cached for the next request of its size, up to a limit. Large blocks are aligned to huge pages and
// request them.
#pragma once

#include <cstddef>
#include <new>

namespace fastnn {

// The pool serves blocks of this size and larger; the C library reuses smaller ones well enough.
constexpr std::size_t kLeastBlock = std::size_t(128) << 10;

// Returns null if the machine has no memory left. `bytes` must be the same in both calls.
void* acquire_block(std::size_t bytes) noexcept;
void release_block(void* block, std::size_t bytes) noexcept;

struct MemoryStats {
  std::size_t used_blocks = 0, used_bytes = 0;      // owned by arrays that are alive
  std::size_t cached_blocks = 0, cached_bytes = 0;  // kept for later requests
  std::size_t system_allocations = 0, reuses = 0;   // blocks that came from the system, and from the cache
  std::size_t limit_bytes = 0;                      // of the cache
};

MemoryStats memory_stats() noexcept;

// Returns the cached blocks to the system, and returns how many bytes they had.
std::size_t empty_cache() noexcept;

void set_cache_limit(std::size_t bytes) noexcept;

// Scratch memory of a call, for as long as its kernel runs.
template <class T>
class Scratch {
 public:
  explicit Scratch(std::ptrdiff_t size) : bytes_(std::size_t(size) * sizeof(T)), data_(acquire_block(bytes_)) {
    if (!data_) throw std::bad_alloc();
  }
  // Converts to false if there is no memory, instead of throwing.
  Scratch(std::ptrdiff_t size, std::nothrow_t) noexcept
      : bytes_(std::size_t(size) * sizeof(T)), data_(acquire_block(bytes_)) {}
  explicit operator bool() const { return data_ != nullptr; }
  ~Scratch() {
    if (data_) release_block(data_, bytes_);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  T* get() const { return static_cast<T*>(data_); }

 private:
  std::size_t bytes_;
  void* data_;
};

}  // namespace fastnn
