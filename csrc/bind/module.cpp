#include "bind/register.h"
#include "runtime/isa.h"
#include "runtime/threads.h"

PYBIND11_MODULE(_core, m) {
  fastnn::kernel_table();  // FASTNN_ISA that names an impossible ISA fails the import, not the first call
  fastnn::prepare_threads();
  fastnn::register_activation(m);
  fastnn::register_batch_norm(m);
  fastnn::register_bias_activation(m);
  fastnn::register_capsule(m);
  fastnn::register_class_loss(m);
  fastnn::register_config(m);
  fastnn::register_dropout(m);
  fastnn::register_gradients(m);
  fastnn::register_group_norm(m);
  fastnn::register_loss(m);
  fastnn::register_max_pool(m);
  fastnn::register_optim(m);
  fastnn::register_random(m);
  fastnn::register_random_integers(m);
  fastnn::register_row_norm(m);
  fastnn::register_softmax(m);
  fastnn::register_state(m);
  fastnn::register_weight_norm(m);
}
