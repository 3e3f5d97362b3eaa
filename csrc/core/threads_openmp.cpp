#include <omp.h>

#include <algorithm>
#include <atomic>

#include "core/threads.h"

namespace fastnn {
namespace {

std::atomic<int>& thread_count() {
  static std::atomic<int> count = default_num_threads();
  return count;
}

}  // namespace

const char* thread_engine() { return "openmp"; }
void set_num_threads(int n) { thread_count() = n; }
int get_num_threads() { return thread_count(); }

void run_blocks(Index blocks, void (*body)(void*, Index) noexcept, void* context) noexcept {
  const int threads = int(std::min<Index>(blocks, get_num_threads()));
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (threads > 1 && !omp_in_parallel())
  for (Index block = 0; block < blocks; ++block) body(context, block);
}

}  // namespace fastnn
