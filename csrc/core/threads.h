// Threads under kernels/parallel.h. Two engines, chosen when the package is built: an own small pool
// (threads_pool.cpp) and OpenMP (threads_openmp.cpp).
#pragma once

#include "kernels/parallel.h"

namespace fastnn {

// "pool" or "openmp".
const char* thread_engine();

// The caller and n - 1 others; n >= 1.
void set_num_threads(int n);
int get_num_threads();

// What the process may use: the least of its CPU affinity, its cgroup's quota and FASTNN_NUM_THREADS, or, where that is
// not set, OMP_NUM_THREADS. At least 1.
int default_num_threads();

}  // namespace fastnn
