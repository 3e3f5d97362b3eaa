// Tensors of other libraries, by the DLPack protocol: the one struct through which they say where a tensor lies. Layouts
// are those of DLPack 1.3, https://dmlc.github.io/dlpack/latest/c_api.html.
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

// Whether the object's type can export its tensors.
bool is_dlpack(pybind11::handle object);

// Where the tensor lies, in tens of nanoseconds, for types that can say so; false for those that cannot or will not.
bool view_quickly(pybind11::handle object, DLTensor& tensor);

// look(where the tensor lies), which holds while `look` runs. Throws what the exporter raises.
void view_dlpack(pybind11::handle object, const std::function<void(const DLTensor&)>& look);

}  // namespace fastnn
