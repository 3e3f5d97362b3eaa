#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <string>

#include "runtime/cgroup.h"
#include "runtime/system.h"
#include "runtime/threads.h"

namespace fastnn {
namespace {

// Returns quota / period CPUs, rounded up, or a large number if there is no limit.
int cpus_of(double quota, double period) {
  constexpr int kNoLimit = 1 << 20;
  return quota > 0 && period > 0 ? std::max(1, int(std::min(std::ceil(quota / period), double(kNoLimit)))) : kNoLimit;
}

// cgroup v2: the file contains "max 100000" or "200000 100000".
int quota_v2(const std::string& folder) {
  std::ifstream file(folder + "/cpu.max");
  std::string quota;
  double period = 0;
  file >> quota >> period;
  return cpus_of(std::atof(quota.c_str()), period);
}

int quota_v1(const std::string& folder) {
  double quota = 0, period = 0;
  std::ifstream(folder + "/cpu.cfs_quota_us") >> quota;
  std::ifstream(folder + "/cpu.cfs_period_us") >> period;
  return cpus_of(quota, period);
}

int cgroup_quota() {
  int cpus = cpus_of(0, 0);
  for (const ControlGroup& group : control_groups("cpu")) {
    cpus = std::min(cpus, group.v2 ? quota_v2(group.folder) : quota_v1(group.folder));
  }
  return cpus;
}

// Returns the variable if it is a positive integer, else `otherwise`: OMP_NUM_THREADS may be a list such as "4,2".
int environment(const char* name, int otherwise) {
  const char* text = std::getenv(name);
  const int n = text ? std::atoi(text) : 0;
  return n >= 1 ? n : otherwise;
}

// The minimum of the CPU affinity, the cgroup's quota and FASTNN_NUM_THREADS, or, if that is not set, OMP_NUM_THREADS.
int default_num_threads() {
  const int machine = std::min(allowed_cpus(), cgroup_quota());
  return std::min(machine, environment("FASTNN_NUM_THREADS", environment("OMP_NUM_THREADS", machine)));
}

std::atomic<int>& thread_count() {
  static std::atomic<int> count = default_num_threads();
  return count;
}

}  // namespace

void set_num_threads(int n) { thread_count() = n; }
int get_num_threads() { return thread_count(); }

}  // namespace fastnn

void fastnn_set_num_threads(int n) { fastnn::set_num_threads(std::clamp(n, 1, fastnn::kMostThreads)); }
int fastnn_get_num_threads() { return fastnn::get_num_threads(); }
