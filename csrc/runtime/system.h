// Requests to the operating system that only Linux fulfils, with harmless substitutes for other systems.
#pragma once

#include <pthread.h>

#include <cstddef>
#include <vector>

namespace fastnn {

// The number of CPUs that the process may use.
int allowed_cpus();

// Returns the CPU of the caller, or -1 if it is unknown.
int current_cpu() noexcept;

// From now on these threads may use all CPUs of the caller except this one. Nothing changes if the caller has no other.
void keep_off(int cpu, const std::vector<pthread_t>& threads) noexcept;

void ask_for_huge_pages(void* begin, std::size_t bytes) noexcept;

}  // namespace fastnn
