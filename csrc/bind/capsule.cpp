// The C API, in the form that other extension modules look up.
#include "bind/register.h"
#include "capi/api.h"

namespace fastnn {

FASTNN_BINDINGS(capsule, m) {
  m.attr("api") = pybind11::capsule(const_cast<fastnn_api*>(&c_api()), FASTNN_API_CAPSULE);
}

}  // namespace fastnn
