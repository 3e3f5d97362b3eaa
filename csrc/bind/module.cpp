#include "bind/register.h"
#include "runtime/isa.h"
#include "runtime/threads.h"

PYBIND11_MODULE(_core, m) {
  fastnn::kernel_table();  // a FASTNN_ISA that this machine cannot run fails the import, not the first call
  fastnn::prepare_threads();
  fastnn::Bindings::add_all(m);
}
