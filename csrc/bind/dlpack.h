// Views tensors of other libraries through the DLPack protocol: a struct that says where a tensor lies. The layout is
// that of DLPack 1.3, https://dmlc.github.io/dlpack/latest/c_api.html.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <functional>

namespace fastnn {

struct DLTensor {
  void* data;
  std::int32_t device_type, device_id;
  std::int32_t ndim;
  std::uint8_t code, bits;
  std::uint16_t lanes;
  std::int64_t* shape;
  std::int64_t* strides;  // in elements; null for C-contiguous memory in older versions
  std::uint64_t byte_offset;

  static constexpr std::int32_t kCpu = 1;
  static constexpr std::uint8_t kFloat = 2, kBfloat = 4;

  void* begin() const { return static_cast<char*>(data) + byte_offset; }
  bool is_contiguous() const;
};

// Returns whether the object's type can export its tensors.
bool is_dlpack(pybind11::handle object);

// Finds where the tensor lies, in tens of nanoseconds. Returns false for types that do not support this, and for
// tensors that refuse it.
bool view_quickly(pybind11::handle object, DLTensor& tensor);

// Calls look(tensor); the view is valid while `look` runs. Throws the exporter's exception.
void view_dlpack(pybind11::handle object, const std::function<void(const DLTensor&)>& look);

}  // namespace fastnn
