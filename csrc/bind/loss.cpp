#include <cmath>
#include <limits>
#include <vector>

#include "bind/arrays.h"
#include "bind/register.h"

namespace fastnn {
namespace {

py::tuple softmax_cross_entropy(py::handle logits_, py::handle labels_, py::handle out) {
  const Array logits = check(logits_, "logits");
  if (logits.shape.size() != 2) throw py::value_error("logits: got shape " + text(logits.shape) + ", want (N, C)");
  const Index rows = logits.shape[0], classes = logits.shape[1];
  const Array labels = check_labels(labels_, "labels", rows);
  const std::vector<Index> safe_labels = copy_labels(labels, classes);
  const Result dlogits = result(out, logits, {&logits}, {&labels});
  std::vector<double> row_loss(std::size_t(rows), 0.0);
  by_dtype(logits, [&]<class T>(T) {
    run(kernels_for<T>().cross_entropy,
        CrossEntropyArgs<T>{dlogits.array.as<T>(), row_loss.data(), logits.as<T>(), safe_labels.data(), rows, classes});
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
