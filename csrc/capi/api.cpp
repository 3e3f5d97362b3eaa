// The tables of the C API. Which instruction set a function runs on is looked up in each call, as everywhere.
#include "capi/api.h"

#include "runtime/threads.h"
#include "capi/elementwise.h"
#include "capi/fills.h"
#include "capi/losses.h"
#include "capi/norms.h"
#include "capi/pools.h"
#include "capi/steps.h"

namespace fastnn {
namespace {

#define FASTNN_FUNCTION(name, parameters) &name<REAL>,
#define REAL float
constexpr fastnn_f32 kFloat = {
#include "fastnn_functions.inc"
};
#undef REAL
#define REAL double
constexpr fastnn_f64 kDouble = {
#include "fastnn_functions.inc"
};
#undef REAL
#undef FASTNN_FUNCTION

}  // namespace

const fastnn_api& c_api() {
  static constexpr fastnn_api api = {FASTNN_API_MAJOR, FASTNN_API_MINOR, &kFloat, &kDouble, &integers, &permutation, &philox,
                                     &get_num_threads, &set_num_threads};
  return api;
}

}  // namespace fastnn
