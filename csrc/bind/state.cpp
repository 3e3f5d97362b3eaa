// Converts an optimizer's state between its storage format and float32, for state_dict and load_state_dict; and
// describes parameters.
#include <pybind11/stl.h>

#include <algorithm>

#include "bind/register.h"
#include "bind/tensor_list.h"
#include "steps/storage.h"

namespace fastnn {
namespace {

py::tuple describe(py::handle tensor, const std::string& name) {
  const Tensor t = check_tensor(tensor, name, Access::write);
  return py::make_tuple(py::tuple(py::cast(t.shape)), element_name(t.element));
}

template <bool is_signed>
void encode_block(std::uint8_t* codes, float* scale, const float* x, Index n) {
  constexpr std::uint32_t kHalf = 1 << 19;
  std::uint16_t largest = 0;
  bool infinite = false;
  for (Index i = 0; i < n; ++i) {
    const std::uint16_t magnitude = to_short(x[i], kHalf);
    if (magnitude > kHighScale)
      infinite = true;
    else
      largest = std::max(largest, magnitude);
  }
  *scale = block_scale(largest, infinite);
  const std::uint16_t base = block_base<is_signed>(*scale);
  for (Index i = 0; i < n; ++i)
    codes[i] = encode<is_signed>(x[i], or_last<is_signed>(to_short(x[i], kHalf), base), base);
}

template <bool is_signed, class Byte>
void decode_block(float* x, float scale, const Byte* codes, Index n) {
  const std::uint16_t base = block_base<is_signed>(scale);
  for (Index i = 0; i < n; ++i) {
    x[i] =
        widen(has_infinity(scale) ? decode_or_infinity<is_signed>(codes[i], base) : decode<is_signed>(codes[i], base));
  }
}

// codes: uint16 for bfloat16, or uint8 with scales. Values are rounded to nearest; values that decode_state returned
// are encoded exactly.
void encode_state(const py::array_t<float, py::array::c_style>& values, py::array codes, py::handle scales,
                  bool is_signed) {
  const float* x = values.data();
  const Index n = values.size();
  if (scales.is_none()) {
    auto* bits = static_cast<std::uint16_t*>(codes.mutable_data());
    for (Index i = 0; i < n; ++i) bits[i] = to_nearest(x[i]).bits;
    return;
  }
  auto* bytes = static_cast<std::uint8_t*>(codes.mutable_data());
  auto* scale = static_cast<float*>(py::reinterpret_borrow<py::array>(scales).mutable_data());
  for (Index i = 0; i < n; i += kScaleElements) {
    const Index count = std::min(kScaleElements, n - i);
    is_signed ? encode_block<true>(bytes + i, scale + i / kScaleElements, x + i, count)
              : encode_block<false>(bytes + i, scale + i / kScaleElements, x + i, count);
  }
}

py::array_t<float> decode_state(const py::array& codes, py::handle scales, bool is_signed) {
  py::array_t<float> values(Shape(codes.shape(), codes.shape() + codes.ndim()));
  float* x = values.mutable_data();
  if (scales.is_none()) {
    const auto* bits = static_cast<const std::uint16_t*>(codes.data());
    for (Index i = 0; i < values.size(); ++i) x[i] = widen(Bfloat16{bits[i]});
    return values;
  }
  const auto* bytes = static_cast<const std::uint8_t*>(codes.data());
  const auto* scale = static_cast<const float*>(py::reinterpret_borrow<py::array>(scales).data());
  for (Index i = 0; i < values.size(); i += kScaleElements) {
    const Index count = std::min(kScaleElements, Index(values.size()) - i);
    const float s = scale[i / kScaleElements];
    is_signed ? decode_block<true>(x + i, s, reinterpret_cast<const std::int8_t*>(bytes + i), count)
              : decode_block<false>(x + i, s, bytes + i, count);
  }
  return values;
}

}  // namespace

FASTNN_BINDINGS(state, m) {
  using namespace py::literals;
  m.attr("CHUNK") = kChunk;
  m.attr("SCALE_ELEMENTS") = kScaleElements;
  m.def(
      "empty", [](const Shape& shape, const py::dtype& dtype) { return new_array(shape, dtype); }, "shape"_a,
      "dtype"_a);
  m.def("describe", &describe, "tensor"_a, "name"_a);
  m.def("encode_state", &encode_state, "values"_a, "codes"_a, "scales"_a, "is_signed"_a);
  m.def("decode_state", &decode_state, "codes"_a, "scales"_a, "is_signed"_a);
}

}  // namespace fastnn
