// The tables of the C API. Which instruction set a function runs on is looked up in each call, as everywhere.
#include "door/api.h"

#include "core/threads.h"
#include "door/elementwise.h"
#include "door/fills.h"
#include "door/losses.h"
#include "door/norms.h"
#include "door/pools.h"
#include "door/steps.h"

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
