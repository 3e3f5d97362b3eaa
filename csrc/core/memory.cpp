#include "core/memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <map>
#include <mutex>
#include <new>

namespace fastnn {
namespace {

std::size_t rounded(std::size_t bytes) { return (bytes + kHugePage - 1) / kHugePage * kHugePage; }

class BlockPool {
 public:
  void* acquire(std::size_t size) noexcept {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      const auto found = free_.find(size);
      if (found != free_.end()) {
        void* block = found->second;
        free_.erase(found);
        kept_ -= size;
        return block;
      }
    }
    void* block = std::aligned_alloc(kHugePage, size);
    if (!block) {
      drop_all();
      block = std::aligned_alloc(kHugePage, size);
    }
    if (block) madvise(block, size, MADV_HUGEPAGE);
    return block;
  }

  void release(void* block, std::size_t size) noexcept {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (size <= bound_) {
        // Sizes that nobody asks for any more must not fill the pool.
        while (kept_ + size > bound_) drop(free_.begin());
        if (keep(block, size)) return;
      }
    }
    std::free(block);
  }

 private:
  using Blocks = std::multimap<std::size_t, void*>;

  void drop(Blocks::iterator position) noexcept {
    kept_ -= position->first;
    std::free(position->second);
    free_.erase(position);
  }

  void drop_all() noexcept {
    std::lock_guard<std::mutex> lock(mutex_);
    while (!free_.empty()) drop(free_.begin());
  }

  bool keep(void* block, std::size_t size) noexcept {
    try {
      free_.emplace(size, block);
    } catch (const std::bad_alloc&) {
      return false;
    }
    kept_ += size;
    return true;
  }

  std::mutex mutex_;
  Blocks free_;
  std::size_t kept_ = 0;
  // An eighth of the machine: several generations of a training step's results, and no danger to its neighbours.
  const std::size_t bound_ = std::size_t(sysconf(_SC_PHYS_PAGES)) / 8 * std::size_t(sysconf(_SC_PAGESIZE));
};

// Never destroyed: arrays may outlive main.
BlockPool& block_pool() {
  static auto* pool = new BlockPool;
  return *pool;
}

}  // namespace

void* acquire_block(std::size_t bytes) noexcept { return block_pool().acquire(rounded(bytes)); }

void release_block(void* block, std::size_t bytes) noexcept { block_pool().release(block, rounded(bytes)); }

}  // namespace fastnn
