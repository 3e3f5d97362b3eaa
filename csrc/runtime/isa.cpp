#include "runtime/isa.h"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

namespace fastnn {

namespace base {
extern const Table table;
}
#if defined(__x86_64__)
namespace avx2 {
extern const Table table;
}
namespace avx512 {
extern const Table table;
}
#endif

namespace {

std::vector<const Table*> supported_tables() {
  std::vector<const Table*> tables = {&base::table};
#if defined(__x86_64__)
  // The checks include the operating system, which must save the wide registers.
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return tables;
  tables.push_back(&avx2::table);
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl")) {
    tables.push_back(&avx512::table);
  }
#endif
  return tables;
}

const Table* find_table(const std::string& name) {
  std::string possible;
  for (const Table* table : supported_tables()) {
    if (table->isa == name) return table;
    possible += (possible.empty() ? "" : ", ") + std::string(table->isa);
  }
  throw std::invalid_argument("isa: got '" + name + "', want one that this machine can run: " + possible);
}

const Table* first_choice() {
  const char* forced = std::getenv("FASTNN_ISA");
  return forced && *forced ? find_table(forced) : supported_tables().back();
}

std::atomic<const Table*>& active_table() {
  static std::atomic<const Table*> table = first_choice();
  return table;
}

}  // namespace

std::vector<std::string> supported_isas() {
  std::vector<std::string> names;
  for (const Table* table : supported_tables()) names.emplace_back(table->isa);
  return names;
}

void use_isa(const std::string& name) { active_table() = find_table(name); }

const Table& kernel_table() { return *active_table().load(std::memory_order_relaxed); }

}  // namespace fastnn
