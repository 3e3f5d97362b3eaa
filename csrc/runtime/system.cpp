#include "runtime/system.h"

#ifdef __linux__
#include <sched.h>
#include <sys/mman.h>
#endif

#include <algorithm>
#include <thread>

namespace fastnn {

#ifdef __linux__

int allowed_cpus() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  return int(std::max(1u, std::thread::hardware_concurrency()));
}

int current_cpu() noexcept { return sched_getcpu(); }

void keep_off(int cpu, const std::vector<pthread_t>& threads) noexcept {
  cpu_set_t allowed;
  if (cpu < 0 || sched_getaffinity(0, sizeof allowed, &allowed) != 0 || CPU_COUNT(&allowed) < 2) return;
  CPU_CLR(cpu, &allowed);
  for (pthread_t thread : threads) pthread_setaffinity_np(thread, sizeof allowed, &allowed);
}

void ask_for_huge_pages(void* begin, std::size_t bytes) noexcept { madvise(begin, bytes, MADV_HUGEPAGE); }

#else

int allowed_cpus() { return int(std::max(1u, std::thread::hardware_concurrency())); }
int current_cpu() noexcept { return -1; }
void keep_off(int, const std::vector<pthread_t>&) noexcept {}
void ask_for_huge_pages(void*, std::size_t) noexcept {}

#endif

}  // namespace fastnn
