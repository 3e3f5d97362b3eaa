// Threads under kernels/parallel.h. Two engines, chosen when the package is built: an own small pool
// (threads_pool.cpp) and OpenMP (threads_openmp.cpp).
#pragma once

#include "kernels/parallel.h"

namespace fastnn {

// "pool" or "openmp".
const char* thread_engine();

// What must be ready before any thread may fork; called at import. Starts no thread.
void prepare_threads();

// The caller and n - 1 others; n >= 1. At first as many as the process may use, see cpus.cpp.
void set_num_threads(int n);
int get_num_threads();

constexpr int kMostThreads = 1 << 20;

}  // namespace fastnn

// The same, exported, for who finds the module among the process's libraries, as threadpoolctl does. There is nobody to
// raise to, so an n out of range becomes the nearest one within.
extern "C" {
[[gnu::visibility("default")]] void fastnn_set_num_threads(int n);
[[gnu::visibility("default")]] int fastnn_get_num_threads();
}
