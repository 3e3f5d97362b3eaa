// Our own thread pool. The caller processes blocks like any worker, and at the end waits only for workers that have
// begun: a worker that another library keeps off its core costs nothing. Every thread begins with the same share of the
// blocks in every job, so that it finds in its core's cache what the last kernel left there, and then helps with the
// other shares. An idle worker polls for a tenth of a millisecond, yielding its core to other threads, and then sleeps.
// A second caller, or a call from inside a block, runs its blocks alone.
#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "runtime/system.h"
#include "runtime/threads.h"

namespace fastnn {
namespace {

// Measured on a virtual machine: waking a sleeping worker costs the caller 13 us, and the worker begins 20 to 90 us
// later; a polling worker sees a job within 1 us. So a worker is only woken for this many elements, which take 50 us or
// more, and polls for a while after a job. The limit is a time and not a count: when another thread takes the core in a
// yield, the yield lasts milliseconds. The worker then sleeps, and the next wake-up finds an idle core.
constexpr Index kWorthWaking = 8 * kBlockElements;
constexpr auto kPolling = std::chrono::microseconds(100);
constexpr int kPausesPerPoll = 8;

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// Returns true once `value` differs from `old`, or false if it does not change for a while.
template <class T>
bool poll_for_change(const std::atomic<T>& value, T old) {
  const auto end = std::chrono::steady_clock::now() + kPolling;
  while (std::chrono::steady_clock::now() < end) {
    for (int i = 0; i < kPausesPerPoll; ++i) {
      if (value.load(std::memory_order_acquire) != old) return true;
      pause();
    }
    sched_yield();
  }
  return false;
}

struct Job {
  Index blocks = 0, elements = 0;
  void (*body)(void*, Index) noexcept = nullptr;
  void* context = nullptr;
  int threads = 0;  // thread 0 is the caller; workers from this number on stay out
};

// The next block of a thread's share, on a cache line of its own.
struct alignas(64) Share {
  std::atomic<Index> next{0};
};

thread_local bool inside_job = false;

class Pool {
 public:
  void run(const Job& job) noexcept {
    std::unique_lock<std::mutex> alone(busy_, std::defer_lock);
    const bool worth_it = job.threads > 1 && (job.elements >= kWorthWaking || awake_.load(std::memory_order_relaxed) > 0);
    if (!worth_it || inside_job || !alone.try_lock() || !prepare(job.threads)) {
      for (Index block = 0; block < job.blocks; ++block) job.body(job.context, block);
      return;
    }
    leave_the_caller_its_core();
    for (int t = 0; t < job.threads; ++t) next(t).store(begin_of(job, t), std::memory_order_relaxed);
    open(job);
    jobs_.fetch_add(1, std::memory_order_release);
    jobs_.notify_all();
    inside_job = true;
    take_blocks(job, 0);
    inside_job = false;
    open(Job());
    for (int n = inside_.load(std::memory_order_acquire); n != 0; n = inside_.load(std::memory_order_acquire)) {
      if (!poll_for_change(inside_, n)) inside_.wait(n, std::memory_order_acquire);
    }
  }

 private:
  std::atomic<Index>& next(int thread) { return shares_[std::size_t(thread)].next; }
  static Index begin_of(const Job& job, int thread) { return job.blocks * thread / job.threads; }

  void take_blocks(const Job& job, int me) noexcept {
    for (int i = 0; i < job.threads; ++i) {
      const int share = (me + i) % job.threads;
      const Index end = begin_of(job, share + 1);
      for (Index block; (block = next(share).fetch_add(1, std::memory_order_relaxed)) < end;) {
        job.body(job.context, block);
      }
    }
  }

  // Makes shares and workers for this many threads. If memory or threads run out, fewer threads do the same work.
  bool prepare(int threads) noexcept {
    try {
      if (threads > capacity_) {
        shares_.reset(new Share[std::size_t(threads)]);
        capacity_ = threads;
      }
      while (workers_.size() + 1 < std::size_t(threads)) {
        workers_.reserve(workers_.size() + 1);
        std::thread worker(&Pool::work, this, int(workers_.size()) + 1);
        workers_.push_back(worker.native_handle());
        worker.detach();
        avoided_ = -1;
      }
    } catch (const std::bad_alloc&) {
      return false;
    } catch (const std::system_error&) {
    }
    return true;
  }

  // A worker woken on the caller's core would wait for the end of the caller's time slice, 3 ms and dozens of jobs
  // later, while another core is idle.
  void leave_the_caller_its_core() noexcept {
    const int cpu = current_cpu();
    if (cpu == avoided_) return;
    avoided_ = cpu;
    keep_off(cpu, workers_);
  }

  void open(const Job& job) noexcept {
    std::lock_guard<std::mutex> lock(gate_);
    job_ = job;
  }

  void work(int me) noexcept {
    inside_job = true;
    awake_.fetch_add(1, std::memory_order_relaxed);
    for (unsigned seen = 0;; sleep_until_change(seen)) {
      seen = jobs_.load(std::memory_order_acquire);
      Job job;
      {
        std::lock_guard<std::mutex> lock(gate_);
        if (me >= job_.threads) continue;
        inside_.fetch_add(1, std::memory_order_relaxed);
        job = job_;
      }
      take_blocks(job, me);
      if (inside_.fetch_sub(1, std::memory_order_release) == 1) inside_.notify_one();
    }
  }

  void sleep_until_change(unsigned seen) noexcept {
    if (poll_for_change(jobs_, seen)) return;
    awake_.fetch_sub(1, std::memory_order_relaxed);
    jobs_.wait(seen, std::memory_order_acquire);
    awake_.fetch_add(1, std::memory_order_relaxed);
  }

  std::mutex busy_;  // held by the caller of the current job
  std::mutex gate_;  // orders joining a job and closing it
  Job job_;
  std::unique_ptr<Share[]> shares_;
  int capacity_ = 0;
  std::vector<pthread_t> workers_;
  int avoided_ = -1;  // the core that workers keep off
  std::atomic<unsigned> jobs_{0};
  std::atomic<int> inside_{0};  // workers in the current job
  std::atomic<int> awake_{0};   // workers that are not asleep
};

// Never destroyed: workers may outlive main. A forked child has none of them, so it begins with a new pool.
Pool*& the_pool() {
  static Pool* pool = [] {
    pthread_atfork(nullptr, nullptr, [] { the_pool() = new Pool; });
    return new Pool;
  }();
  return pool;
}

}  // namespace

const char* thread_engine() { return "pool"; }

void prepare_threads() {
  get_num_threads();
  the_pool();
}

void run_blocks(Index blocks, Index elements, void (*body)(void*, Index) noexcept, void* context) noexcept {
  const int threads = get_num_threads();
  the_pool()->run({blocks, elements, body, context, blocks < threads ? int(blocks) : threads});
}

}  // namespace fastnn
