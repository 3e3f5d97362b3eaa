// Chooses the instruction set of the kernels: the best that the CPU and the operating system support, unless FASTNN_ISA
// or use_isa choose another one.
#pragma once

#include <string>
#include <vector>

#include "kernels/table.h"

namespace fastnn {

// The instruction sets that this machine can run, the best one last.
std::vector<std::string> supported_isas();

// Throws std::invalid_argument, which lists the possible names, for any other name.
void use_isa(const std::string& name);

// Returns the table in use. The first call chooses it.
const Table& kernel_table();

template <class T>
const Kernels<T>& kernels_for();
template <>
inline const Kernels<float>& kernels_for<float>() { return kernel_table().f32; }
template <>
inline const Kernels<double>& kernels_for<double>() { return kernel_table().f64; }

}  // namespace fastnn
