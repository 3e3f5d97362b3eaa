// The own pool. The caller takes blocks like any worker, and at the end waits only for workers that have begun: a
// worker that another library keeps off its core costs nothing. Workers start at first use, spin for some
// microseconds after a job and then sleep. A second caller, or a call from inside a block, runs its blocks alone.
#include <pthread.h>

#include <atomic>
#include <mutex>
#include <system_error>
#include <thread>

#include "core/threads.h"

namespace fastnn {
namespace {

constexpr int kSpins = 100;  // some microseconds

inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// Returns once `value` differs from `old`.
template <class T>
void wait_for_change(const std::atomic<T>& value, T old) {
  for (int i = 0; i < kSpins; ++i) {
    if (value.load(std::memory_order_acquire) != old) return;
    relax();
  }
  value.wait(old, std::memory_order_acquire);
}

thread_local bool inside_job = false;

struct Job {
  Index blocks = 0;
  void (*body)(void*, Index) noexcept = nullptr;
  void* context = nullptr;
  int helpers = 0;  // how many workers may still join
};

class Pool {
 public:
  void run(Job job) noexcept {
    std::unique_lock<std::mutex> alone(busy_, std::defer_lock);
    if (job.helpers < 1 || inside_job || !alone.try_lock()) {
      for (Index block = 0; block < job.blocks; ++block) job.body(job.context, block);
      return;
    }
    start_workers(job.helpers);
    {
      std::lock_guard<std::mutex> lock(gate_);
      job_ = job;
      next_.store(0, std::memory_order_relaxed);
    }
    jobs_.fetch_add(1, std::memory_order_release);
    jobs_.notify_all();
    inside_job = true;
    take_blocks(job);
    inside_job = false;
    {
      std::lock_guard<std::mutex> lock(gate_);
      job_.helpers = 0;
    }
    for (int n = inside_.load(std::memory_order_acquire); n != 0; n = inside_.load(std::memory_order_acquire)) {
      wait_for_change(inside_, n);
    }
  }

 private:
  void take_blocks(const Job& job) noexcept {
    for (Index block; (block = next_.fetch_add(1, std::memory_order_relaxed)) < job.blocks;) {
      job.body(job.context, block);
    }
  }

  void start_workers(int wanted) noexcept {
    for (; workers_ < wanted; ++workers_) {
      try {
        std::thread(&Pool::work, this).detach();
      } catch (const std::system_error&) {
        return;  // the machine has no thread left: fewer hands, the same result
      }
    }
  }

  void work() noexcept;

  std::mutex busy_;  // held by the caller whose job this is
  std::mutex gate_;  // joining a job against closing it
  Job job_;
  std::atomic<Index> next_{0};
  std::atomic<unsigned> jobs_{0};
  std::atomic<int> inside_{0};
  int workers_ = 0;
};

void Pool::work() noexcept {
  inside_job = true;
  for (unsigned seen = 0;; wait_for_change(jobs_, seen)) {
    seen = jobs_.load(std::memory_order_acquire);
    Job job;
    {
      std::lock_guard<std::mutex> lock(gate_);
      if (job_.helpers < 1) continue;
      --job_.helpers;
      inside_.fetch_add(1, std::memory_order_relaxed);
      job = job_;
    }
    take_blocks(job);
    if (inside_.fetch_sub(1, std::memory_order_release) == 1) inside_.notify_one();
  }
}

// Never destroyed: workers may outlive main. A forked child has none of them, so it begins with a new pool.
Pool*& the_pool() {
  static Pool* pool = [] {
    pthread_atfork(nullptr, nullptr, [] { the_pool() = new Pool; });
    return new Pool;
  }();
  return pool;
}

std::atomic<int>& thread_count() {
  static std::atomic<int> count = default_num_threads();
  return count;
}

}  // namespace

const char* thread_engine() { return "pool"; }
void set_num_threads(int n) { thread_count() = n; }
int get_num_threads() { return thread_count(); }

void run_blocks(Index blocks, void (*body)(void*, Index) noexcept, void* context) noexcept {
  const Index helpers = (blocks < get_num_threads() ? blocks : Index(get_num_threads())) - 1;
  the_pool()->run({blocks, body, context, int(helpers)});
}

}  // namespace fastnn
