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

}  // namespace fastnn
