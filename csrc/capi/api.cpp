// The tables of the C API. Every call looks up the instruction set to run on.
#include "capi/api.h"

#include <cstddef>

#include "capi/elementwise.h"
#include "capi/fills.h"
#include "capi/losses.h"
#include "capi/norms.h"
#include "capi/pools.h"
#include "capi/products.h"
#include "capi/steps.h"
#include "runtime/threads.h"

namespace fastnn {
namespace {

int get_num_threads() noexcept { return fastnn::get_num_threads(); }
int set_num_threads(int n) noexcept {
  if (n < 1 || n > kMostThreads) return kInvalid;
  fastnn::set_num_threads(n);
  return kDone;
}

// The casts compile only for noexcept functions: an exception must not reach the caller, which may be C.
#define FASTNN_FUNCTION(number, name, parameters) static_cast<int (*) parameters noexcept>(&name<REAL>),
#define REAL float
constexpr fastnn_f32 kFloat = {
#include "fastnn_functions.inc"
};
#define FASTNN_FUNCTION(number, name, parameters) static_cast<int (*) parameters noexcept>(&name<REAL>),
#define REAL double
constexpr fastnn_f64 kDouble = {
#include "fastnn_functions.inc"
};
#define FASTNN_COMMON(number, name, parameters) static_cast<int (*) parameters noexcept>(&name),
constexpr fastnn_common kCommon = {
#include "fastnn_functions.inc"
};

// A function's place in its table is its number.
#define FASTNN_FUNCTION(number, name, parameters)                      \
  static_assert(offsetof(fastnn_f32, name) == number * sizeof(void*)); \
  static_assert(offsetof(fastnn_f64, name) == number * sizeof(void*));
#define FASTNN_COMMON(number, name, parameters) static_assert(offsetof(fastnn_common, name) == number * sizeof(void*));
#include "fastnn_functions.inc"

}  // namespace

const fastnn_api& c_api() {
  static constexpr fastnn_api api = {
      .major = FASTNN_API_MAJOR, .minor = FASTNN_API_MINOR,
      .api_size = sizeof(fastnn_api), .f32_size = sizeof kFloat, .f64_size = sizeof kDouble,
      .common_size = sizeof kCommon,
      .f32 = &kFloat, .f64 = &kDouble, .common = &kCommon};
  return api;
}

}  // namespace fastnn
