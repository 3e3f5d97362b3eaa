#include "bind/register.h"
#include "runtime/isa.h"
#include "runtime/threads.h"

PYBIND11_MODULE(_core, m) {
  fastnn::kernel_table();  // if FASTNN_ISA is a set that this machine cannot run, the import fails, not the first call
  fastnn::prepare_threads();
  fastnn::Bindings::add_all(m);
}
