// The threads behind kernels/parallel.h. There are two engines, and the build chooses one: a small pool of our own
// (threads_pool.cpp) and OpenMP (threads_openmp.cpp).
#pragma once

#include "kernels/parallel.h"

namespace fastnn {

// Returns "pool" or "openmp".
const char* thread_engine();

// Prepares everything that must exist before any thread may fork. Called at import; starts no thread.
void prepare_threads();

// The number of threads of a job, the caller included; n >= 1. The default is the number that the process may use
// (cpus.cpp).
void set_num_threads(int n);
int get_num_threads();

constexpr int kMostThreads = 1 << 20;

}  // namespace fastnn

// The same functions, exported for code that finds the module among the libraries of the process, as threadpoolctl
// does. They cannot raise, so they clamp n to the valid range.
extern "C" {
[[gnu::visibility("default")]] void fastnn_set_num_threads(int n);
[[gnu::visibility("default")]] int fastnn_get_num_threads();
}
