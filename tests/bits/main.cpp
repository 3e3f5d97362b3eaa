// Prints one line for every function of the C API, dtype and kind of input: the hash of its results for all shapes.
// `make test-aarch64` compares the lines of two machines. If calls.h lacks a function of the list, the build fails.
#include <cinttypes>
#include <cstdio>

#include "calls.h"
#include "training.h"

namespace bits {
namespace {

// Single elements, partial vectors, and several blocks for the threads.
constexpr Shape kShapes[] = {{2, 1, 1},  {3, 5, 1},    {2, 64, 1},  {5, 67, 1},   {3, 4, 7},
                             {2, 6, 65}, {130, 33, 1}, {3, 6, 257}, {700, 50, 1}, {2, 4, 10007}};

bool print(const char* name, const char* dtype, const char* kind, const Hash& hash) {
  std::printf("%-32s %-7s %-7s %016" PRIx64 "\n", name, dtype, kind, hash.value());
  return true;
}

template <class T, class Call>
bool compare(const char* name, Call call) {
  for (Kind kind : {kNormal, kWide, kSpecial}) {
    Hash hash;
    for (const Shape& shape : kShapes) {
      Calls<T> calls(kind, shape);
      if (call(calls) != 0) return false;
      calls.add_to(hash);
    }
    const char* kinds[] = {"normal", "wide", "special"};
    print(name, sizeof(T) == 4 ? "float32" : "float64", kinds[kind], hash);
  }
  return true;
}

bool compare_reals() {
  bool done = true;
#define COMPARE(name) done &= compare<REAL>(#name, [](auto& calls) { return calls.name(); });
#define FASTNN_FUNCTION(number, name, parameters) COMPARE(name)
#define REAL float
#include "fastnn_functions.inc"
#define FASTNN_FUNCTION(number, name, parameters) COMPARE(name)
#define REAL double
#include "fastnn_functions.inc"
#undef COMPARE
  return done;
}

template <class V, class Fill>
bool compare_integers(const char* name, Fill fill) {
  std::vector<V> values(1 << 20);
  Hash hash;
  const int failed = fill(values.data());
  hash.add(values);
  return failed == 0 && print(name, "integer", "normal", hash);
}

bool compare_all() {
  const fastnn_common& c = *fastnn::c_api().common;
  return compare_reals() &&
         compare_integers<Index>("integers", [&](Index* y) { return c.integers(y, 1 << 20, -5, 1000003, kRandom); }) &&
         compare_integers<Index>("permutation", [&](Index* y) { return c.permutation(y, 1 << 20, kRandom); }) &&
         compare_integers<std::uint32_t>("philox", [&](std::uint32_t* y) { return c.philox(y, 1 << 14, kRandom); });
}

template <class T, class Functions>
bool compare_training(const char* dtype, const Functions& functions) {
  const std::uint64_t hash = Training<T, Functions>(functions).run(10);
  std::printf("%-32s %-7s %-7s %016" PRIx64 "\n", "a whole training", dtype, "normal", hash);
  return hash != 0;
}

}  // namespace
}  // namespace bits

int main() {
  const fastnn_api& api = fastnn::c_api();
  const bool done = bits::compare_all() && bits::compare_training<float>("float32", *api.f32) &&
                    bits::compare_training<double>("float64", *api.f64);
  return done ? 0 : 1;
}
