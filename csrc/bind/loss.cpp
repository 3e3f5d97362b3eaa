#include <cmath>
#include <limits>
#include <vector>

#include "bind/arrays.h"
#include "bind/register.h"

namespace fastnn {
namespace {

const Index* check_labels(py::handle labels, const Shape& logits) {
  if (!py::isinstance<py::array_t<Index, py::array::c_style>>(labels)) {
    throw py::type_error("labels: got " + std::string(py::str(py::type::of(labels).attr("__name__"))) +
                         " that is no C-contiguous array of integers, want shape (N,) of int64; convert it with "
                         "np.ascontiguousarray(labels, dtype=np.int64)");
  }
  const auto array = py::reinterpret_borrow<py::array>(labels);
  const Shape shape(array.shape(), array.shape() + array.ndim());
  if (shape != Shape{logits[0]}) {
    throw py::value_error("labels: got shape " + text(shape) + ", want " + text({logits[0]}) + ", one per row of logits");
  }
  const auto* data = static_cast<const Index*>(array.data());
  for (Index row = 0; row < logits[0]; ++row) {
    if (data[row] < 0 || data[row] >= logits[1]) {
      throw py::index_error("labels[" + std::to_string(row) + "]: got " + std::to_string(data[row]) +
                            ", want a class in [0, " + std::to_string(logits[1]) + ")");
    }
  }
  return data;
}

py::tuple softmax_cross_entropy(py::handle logits_, py::handle labels_, py::handle out) {
  const Array logits = check(logits_, "logits");
  if (logits.shape.size() != 2) throw py::value_error("logits: got shape " + text(logits.shape) + ", want (N, C)");
  const Index* labels = check_labels(labels_, logits.shape);
  const Result dlogits = result(out, logits, {&logits});
  const Index rows = logits.shape[0], classes = logits.shape[1];
  std::vector<double> row_loss(std::size_t(rows), 0.0);
  by_dtype(logits, [&]<class T>(T) {
    run(kernels_for<T>().cross_entropy,
        CrossEntropyArgs<T>{dlogits.array.as<T>(), row_loss.data(), logits.as<T>(), labels, rows, classes});
  });
  double total = 0;
  for (double loss : row_loss) total += loss;
  return py::make_tuple(rows ? total / double(rows) : std::numeric_limits<double>::quiet_NaN(), dlogits.object);
}

}  // namespace

void register_loss(py::module_& m) {
  using namespace py::literals;
  m.def("softmax_cross_entropy", &softmax_cross_entropy, "logits"_a, "labels"_a, "out"_a);
}

}  // namespace fastnn
