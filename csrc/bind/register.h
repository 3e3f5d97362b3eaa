// What module.cpp calls: each family puts its functions into the module.
#pragma once

#include <pybind11/pybind11.h>

namespace fastnn {

void register_activation(pybind11::module_& m);
void register_batch_norm(pybind11::module_& m);
void register_bias_activation(pybind11::module_& m);
void register_capsule(pybind11::module_& m);
void register_class_loss(pybind11::module_& m);
void register_config(pybind11::module_& m);
void register_dropout(pybind11::module_& m);
void register_gradients(pybind11::module_& m);
void register_group_norm(pybind11::module_& m);
void register_loss(pybind11::module_& m);
void register_max_pool(pybind11::module_& m);
void register_optim(pybind11::module_& m);
void register_random(pybind11::module_& m);
void register_random_integers(pybind11::module_& m);
void register_row_norm(pybind11::module_& m);
void register_softmax(pybind11::module_& m);
void register_state(pybind11::module_& m);
void register_weight_norm(pybind11::module_& m);

}  // namespace fastnn
