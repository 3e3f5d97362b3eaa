// Blocks for results and scratch. Fresh memory costs ten times what writing it does, in page faults; so a block that is
// let go is kept for the next one of its size, up to a limit. Large blocks are aligned to huge pages and ask for them.
#pragma once

#include <cstddef>
#include <new>

namespace fastnn {

// From here on the pool serves; below it the C library reuses memory well enough by itself.
constexpr std::size_t kLeastBlock = std::size_t(128) << 10;

// Null where the machine has no memory left. `bytes` must be the same in both calls.
void* acquire_block(std::size_t bytes) noexcept;
void release_block(void* block, std::size_t bytes) noexcept;

struct MemoryStats {
  std::size_t used_blocks = 0, used_bytes = 0;      // behind arrays that are alive
  std::size_t cached_blocks = 0, cached_bytes = 0;  // kept for later ones
  std::size_t system_allocations = 0, reuses = 0;   // how often a block came from the system, and from what was kept
  std::size_t limit_bytes = 0;                      // of what is kept
};

MemoryStats memory_stats() noexcept;

// Gives what is kept back to the system, and says how many bytes that were.
std::size_t empty_cache() noexcept;

void set_cache_limit(std::size_t bytes) noexcept;

// Memory of a binding for as long as its kernel runs.
template <class T>
class Scratch {
 public:
  explicit Scratch(std::ptrdiff_t size) : bytes_(std::size_t(size) * sizeof(T)), data_(acquire_block(bytes_)) {
    if (!data_) throw std::bad_alloc();
  }
  // False where there is none, instead of throwing.
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
