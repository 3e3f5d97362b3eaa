#include <omp.h>
#include <pthread.h>

#include <algorithm>
#include <atomic>

#include "runtime/threads.h"

namespace fastnn {
namespace {

// A forked child has none of libgomp's threads, and would wait for them for ever.
std::atomic<bool>& forked() {
  static std::atomic<bool> flag = [] {
    pthread_atfork(nullptr, nullptr, [] { forked() = true; });
    return false;
  }();
  return flag;
}

}  // namespace

const char* thread_engine() { return "openmp"; }

void prepare_threads() {
  get_num_threads();
  forked();
}

void run_blocks(Index blocks, Index, void (*body)(void*, Index) noexcept, void* context) noexcept {
  const int threads = int(std::min<Index>(blocks, get_num_threads()));
  if (threads < 2 || forked() || omp_in_parallel()) {
    for (Index block = 0; block < blocks; ++block) body(context, block);
    return;
  }
#pragma omp parallel for schedule(dynamic) num_threads(threads)
  for (Index block = 0; block < blocks; ++block) body(context, block);
}

}  // namespace fastnn
