#include "bind/labels.h"

#include <string>

namespace fastnn {
namespace {

// The index of element number `i` as Python writes it, such as [2, 0].
std::string place_of(std::size_t i, const Shape& shape) {
  std::string s;
  for (std::size_t axis = shape.size(); axis-- > 0; i /= std::size_t(shape[axis])) {
    s = std::to_string(i % std::size_t(shape[axis])) + (s.empty() ? "" : ", ") + s;
  }
  return "[" + s + "]";
}

}  // namespace

std::vector<std::int64_t> copy_labels(const Array& labels, py::ssize_t classes, std::int64_t ignored) {
  const auto* given = labels.as<const std::int64_t>();
  std::vector<std::int64_t> copy(given, given + labels.size);
  for (std::size_t row = 0; row < copy.size(); ++row) {
    std::int64_t& label = copy[row];
    if (label != ignored && !(0 <= label && label < classes)) {
      throw py::index_error(labels.name + place_of(row, labels.shape) + ": got " + std::to_string(label) +
                            ", want a class in [0, " + std::to_string(classes) + ") or ignore_index " +
                            std::to_string(ignored));
    }
    if (label == ignored) label = -1;
  }
  return copy;
}

}  // namespace fastnn
