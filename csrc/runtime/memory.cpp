#include "runtime/memory.h"

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <mutex>

#include "runtime/cgroup.h"
#include "runtime/system.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(begin, bytes) (void)0
#define ASAN_UNPOISON_MEMORY_REGION(begin, bytes) (void)0
#endif

namespace fastnn {
namespace {

constexpr std::size_t kPage = std::size_t(4) << 10, kHugePage = std::size_t(2) << 20;

std::size_t rounded(std::size_t bytes) {
  const std::size_t unit = bytes < kHugePage ? kPage : kHugePage;
  return bytes ? (bytes + unit - 1) / unit * unit : unit;
}

// Returns the memory that the process may use: that of the machine, or less if a control group limits it.
std::size_t available_bytes() {
  std::size_t bytes = std::size_t(sysconf(_SC_PHYS_PAGES)) * std::size_t(sysconf(_SC_PAGESIZE));
  for (const ControlGroup& group : control_groups("memory")) {
    std::size_t limit = 0;  // stays 0 for "max"
    std::ifstream(group.folder + (group.v2 ? "/memory.max" : "/memory.limit_in_bytes")) >> limit;
    if (limit) bytes = std::min(bytes, limit);
  }
  return bytes;
}

class BlockPool {
 public:
  void* acquire(std::size_t size) noexcept {
    void* block = take(size);
    if (!block) {
      block = fresh(size);
      if (!block && empty()) block = fresh(size);
      if (!block) return nullptr;
    }
    std::lock_guard<std::mutex> lock(mutex_);
    stats_.used_blocks += 1;
    stats_.used_bytes += size;
    return block;
  }

  void release(void* block, std::size_t size) noexcept {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stats_.used_blocks -= 1;
      stats_.used_bytes -= size;
      if (size <= stats_.limit_bytes) {
        shrink(stats_.limit_bytes - size);
        if (keep(block, size)) return;
      }
    }
    std::free(block);
  }

  std::size_t empty() noexcept {
    std::lock_guard<std::mutex> lock(mutex_);
    return shrink(0);
  }

  void set_limit(std::size_t bytes) noexcept {
    std::lock_guard<std::mutex> lock(mutex_);
    stats_.limit_bytes = bytes;
    shrink(bytes);
  }

  MemoryStats stats() noexcept {
    std::lock_guard<std::mutex> lock(mutex_);
    return stats_;
  }

 private:
  struct Kept {
    void* block;
    std::uint64_t since;
  };
  using Blocks = std::multimap<std::size_t, Kept>;  // by size

  void* take(std::size_t size) noexcept {
    std::lock_guard<std::mutex> lock(mutex_);
    const auto after = free_.upper_bound(size);
    if (after == free_.begin()) return nullptr;
    const auto latest = std::prev(after);  // the latest of this size; the others may grow old
    if (latest->first != size) return nullptr;
    void* block = latest->second.block;
    forget(latest);
    stats_.reuses += 1;
    return block;
  }

  void* fresh(std::size_t size) noexcept {
    const bool huge = size >= kHugePage;
    void* block = std::aligned_alloc(huge ? kHugePage : kPage, size);
    if (!block) return nullptr;
    if (huge) ask_for_huge_pages(block, size);
    ASAN_POISON_MEMORY_REGION(block, size);
    std::lock_guard<std::mutex> lock(mutex_);
    stats_.system_allocations += 1;
    return block;
  }

  bool keep(void* block, std::size_t size) noexcept {
    try {
      free_.emplace(size, Kept{block, ++released_});
    } catch (const std::bad_alloc&) {
      return false;
    }
    stats_.cached_blocks += 1;
    stats_.cached_bytes += size;
    return true;
  }

  void forget(Blocks::iterator position) noexcept {
    stats_.cached_blocks -= 1;
    stats_.cached_bytes -= position->first;
    free_.erase(position);
  }

  // Frees blocks until at most `most` bytes are cached, and returns how many bytes it freed. The oldest blocks go
  // first: sizes that are no longer used must not fill the pool.
  std::size_t shrink(std::size_t most) noexcept {
    const std::size_t before = stats_.cached_bytes;
    while (stats_.cached_bytes > most) {
      const auto older = [](const auto& a, const auto& b) { return a.second.since < b.second.since; };
      const auto oldest = std::min_element(free_.begin(), free_.end(), older);
      std::free(oldest->second.block);
      forget(oldest);
    }
    return before - stats_.cached_bytes;
  }

  std::mutex mutex_;
  Blocks free_;
  std::uint64_t released_ = 0;
  // An eighth of the available memory: several generations of a training step's results, and no danger to other
  // programs.
  MemoryStats stats_ = {.limit_bytes = available_bytes() / 8};
};

// Never destroyed: arrays may outlive main.
BlockPool& block_pool() {
  static auto* pool = new BlockPool;
  return *pool;
}

}  // namespace

// AddressSanitizer reports uses of cached blocks, and of the bytes that rounding added.
void* acquire_block(std::size_t bytes) noexcept {
  void* block = block_pool().acquire(rounded(bytes));
  if (block) ASAN_UNPOISON_MEMORY_REGION(block, bytes);
  return block;
}

void release_block(void* block, std::size_t bytes) noexcept {
  ASAN_POISON_MEMORY_REGION(block, rounded(bytes));
  block_pool().release(block, rounded(bytes));
}

MemoryStats memory_stats() noexcept { return block_pool().stats(); }
std::size_t empty_cache() noexcept { return block_pool().empty(); }
void set_cache_limit(std::size_t bytes) noexcept { block_pool().set_limit(bytes); }

}  // namespace fastnn
