// What Linux can be asked for; on another system what does no harm.
#pragma once

#include <pthread.h>

#include <cstddef>
#include <vector>

namespace fastnn {

// CPUs that the process may use.
int allowed_cpus();

// The caller's, or -1 where nobody knows.
int current_cpu() noexcept;

// From now on these threads may use all CPUs of the caller but this one. Nothing changes where it has no other.
void keep_off(int cpu, const std::vector<pthread_t>& threads) noexcept;

void ask_for_huge_pages(void* begin, std::size_t bytes) noexcept;

}  // namespace fastnn
