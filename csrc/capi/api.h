#pragma once

#include <fastnn.h>

namespace fastnn {

const fastnn_api& c_api();

}  // namespace fastnn
