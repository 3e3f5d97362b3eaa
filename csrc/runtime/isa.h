// Which instruction set the kernels run on: the best that the CPU and the operating system support, unless
// FASTNN_ISA or use_isa say otherwise.
#pragma once

#include <string>
#include <vector>

#include "kernels/table.h"

namespace fastnn {

// The names that this machine can run, from the plainest to the best.
std::vector<std::string> supported_isas();

// Throws std::invalid_argument, naming those possible, for anything else.
void use_isa(const std::string& name);

// The table in use. The first call chooses it.
const Table& kernel_table();

template <class T>
const Kernels<T>& kernels_for();
template <>
inline const Kernels<float>& kernels_for<float>() { return kernel_table().f32; }
template <>
inline const Kernels<double>& kernels_for<double>() { return kernel_table().f64; }

}  // namespace fastnn
