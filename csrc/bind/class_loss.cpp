// Losses over classes: softmax cross-entropy and negative log-likelihood.
#include "bind/loss.h"

#include <functional>
#include <numeric>
#include <utility>

#include "bind/labels.h"
#include "bind/register.h"
#include "calls/partial_sums.h"
#include "kernels/args/loss.h"

namespace fastnn {
namespace {

constexpr auto kClassReductions = {Reduction::mean, Reduction::sum, Reduction::none};

// The checked arguments of a call. Ignored rows have label -1.
struct ClassLossCall {
  Array logits, labels, target, weight;  // either labels or target is given
  Reduction reduction;
  std::vector<Index> safe_labels;
  Result dlogits;
  Shape shape;  // of the labels
  Index rows, classes, count;
};

Shape without(Shape shape, std::ptrdiff_t axis) {
  shape.erase(shape.begin() + axis);
  return shape;
}

// Returns logits (..., C) with at least one axis before the last.
Array check_logits(py::handle object, const char* name) {
  const Array a = check(object, name);
  if (a.shape.size() < 2) {
    throw py::value_error(a.name + ": got shape " + text(a.shape) +
                          ", want (N, C), or more axes, the classes last; reshape it, a single sample to (1, C)");
  }
  return a;
}

// An array of floats with a class axis holds probabilities; anything else holds labels.
bool are_probabilities(py::handle labels, py::handle logits) {
  if (!py::isinstance<py::array>(labels) || !py::isinstance<py::array>(logits)) return false;
  const auto array = py::reinterpret_borrow<py::array>(labels);
  return array.dtype().kind() == 'f' && array.ndim() > 1 &&
         array.ndim() >= py::reinterpret_borrow<py::array>(logits).ndim();
}

// Raises if the classes are on axis 1, as in PyTorch, and not on the last one.
void check_classes_last(const Array& logits, py::handle labels_) {
  const Shape& shape = logits.shape;
  if (shape.size() < 3 || !py::isinstance<py::array>(labels_)) return;
  const auto labels = py::reinterpret_borrow<py::array>(labels_);
  const Shape given(labels.shape(), labels.shape() + labels.ndim());
  if (given == without(shape, 1) && given != without(shape, std::ptrdiff_t(shape.size()) - 1)) {
    throw py::value_error(logits.name + ": got shape " + text(shape) + " for labels of shape " + text(given) +
                          ", want the classes on the last axis; pass np.ascontiguousarray(np.moveaxis(" + logits.name +
                          ", 1, -1)), and turn the gradient back with np.moveaxis(gradient, -1, 1)");
  }
}

ClassLossCall check_class_loss(py::handle logits, const char* name, py::handle labels, const char* labels_name,
                               bool probabilities, py::handle weight, py::handle ignore_index_, py::handle reduction,
                               py::handle out, bool gradient) {
  ClassLossCall c;
  c.logits = check_logits(logits, name);
  c.classes = c.logits.shape.back();
  c.shape = without(c.logits.shape, std::ptrdiff_t(c.logits.shape.size()) - 1);
  c.rows = c.count = std::accumulate(c.shape.begin(), c.shape.end(), Index(1), std::multiplies<>());
  const Index ignore_index = check_integer(ignore_index_, "ignore_index", "-100 if none is ignored");
  c.reduction = check_reduction(reduction, kClassReductions);
  c.weight = check_optional(weight, "weight", c.logits, {c.classes});
  if (probabilities) {
    if (ignore_index >= 0) {
      throw py::value_error("ignore_index: got " + std::to_string(ignore_index) +
                            ", want a negative one with probabilities, since no row is ignored; leave it out");
    }
    c.target = check(labels, labels_name, c.logits, c.logits.shape);
  } else {
    check_classes_last(c.logits, labels);
    c.labels = check_labels(labels, labels_name, c.shape);
    c.safe_labels = copy_labels(c.labels, c.classes, ignore_index);
    for (const Index label : c.safe_labels) c.count -= label < 0;
  }
  if (gradient) c.dlogits = result(out, c.logits, {&c.logits}, {&c.labels, &c.target, &c.weight});
  return c;
}

// The divisor of the mean: the sum of the weights of the labels that are not ignored, or with probabilities the number
// of rows.
template <class T>
double divisor_of(const ClassLossCall& c) {
  if (c.reduction != Reduction::mean) return 1;
  if (c.target.given() || !c.weight.given()) return double(c.count);
  std::vector<Index> counts(std::size_t(c.classes), 0);  // adding the same few numbers repeatedly would drift
  for (const Index label : c.safe_labels) {
    if (label >= 0) ++counts[std::size_t(label)];
  }
  double total = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    if (counts[i]) total += double(counts[i]) * double(c.weight.as<T>()[i]);
  }
  return total;
}

template <class T>
py::object reduced(const ClassLossCall& c, const std::vector<double>& row_loss, double divisor) {
  if (c.reduction != Reduction::none) return py::float_(total_of(row_loss.data(), Index(row_loss.size())) / divisor);
  py::array losses = new_array(c.shape, c.logits.is_double());
  for (Index row = 0; row < c.rows; ++row) static_cast<T*>(losses.mutable_data())[row] = T(row_loss[std::size_t(row)]);
  return losses;
}

// Returns (loss, dlogits or None, number of rows not ignored); `kernel` takes the kernel from the table.
template <class Kernel>
py::tuple run_class_loss(const ClassLossCall& c, double smoothing, Kernel kernel) {
  std::vector<double> row_loss(std::size_t(c.rows), 0.0), row_mass(row_loss.size());
  py::object loss;
  by_dtype(c.logits, [&]<class T>(T) {
    const double divisor = divisor_of<T>(c);
    run(kernel(kernels_for<T>()), ClassLossArgs<T>{.dlogits = c.dlogits.array.as<T>(), .row_loss = row_loss.data(),
                                                   .row_mass = row_mass.data(), .logits = c.logits.as<T>(),
                                                   .labels = c.labels.given() ? c.safe_labels.data() : nullptr,
                                                   .target = c.target.as<T>(), .weight = c.weight.as<T>(),
                                                   .rows = c.rows, .classes = c.classes, .scale = 1 / divisor,
                                                   .smoothing = smoothing});
    loss = reduced<T>(c, row_loss, divisor);
  });
  return py::make_tuple(loss, c.dlogits.object ? c.dlogits.object : py::none(), c.count);
}

py::tuple softmax_cross_entropy(py::handle logits, py::handle labels, py::handle weight, py::handle ignore_index,
                                py::handle reduction, double label_smoothing, py::handle out, bool gradient) {
  check_range(label_smoothing, "label_smoothing", 0, 1);
  const bool probabilities = are_probabilities(labels, logits);
  const ClassLossCall c =
      check_class_loss(logits, "logits", labels, "labels", probabilities, weight, ignore_index, reduction, out, gradient);
  const bool soft = probabilities || label_smoothing > 0;
  return run_class_loss(c, label_smoothing, [=](const auto& table) {
    return soft ? table.softmax_cross_entropy_soft : table.softmax_cross_entropy;
  });
}

py::tuple nll_loss(py::handle input, py::handle target, py::handle weight, py::handle ignore_index,
                   py::handle reduction, py::handle out, bool gradient) {
  const ClassLossCall c =
      check_class_loss(input, "input", target, "target", false, weight, ignore_index, reduction, out, gradient);
  return run_class_loss(c, 0, [](const auto& table) { return table.nll_loss; });
}

// Counts rows whose largest logit, the first one of several, is at the label, and rows whose label is not negative. A
// row with NaN is not correct, nor one whose label is no class.
std::pair<Index, Index> count_correct(py::handle logits_, py::handle labels_) {
  const Array logits = check(logits_, "logits");
  if (logits.shape.size() != 2) throw py::value_error("logits: got shape " + text(logits.shape) + ", want (N, C)");
  const Index rows = logits.shape[0], classes = logits.shape[1];
  const auto* labels = check_labels(labels_, "labels", {rows}).as<const Index>();
  return by_dtype(logits, [=, x = logits.as<const void>()]<class T>(T) {
    Index count = 0, labelled = 0;
    const T* row = static_cast<const T*>(x);
    for (Index i = 0; i < rows; ++i, row += classes) {
      const Index label = labels[i];
      labelled += label >= 0;
      if (label < 0 || label >= classes) continue;
      Index j = 0;
      while (j < label && row[j] < row[label]) ++j;
      while (j >= label && j < classes && row[j] <= row[label]) ++j;
      count += j == classes;
    }
    return std::pair(count, labelled);
  });
}

}  // namespace

FASTNN_BINDINGS(class_loss, m) {
  using namespace py::literals;
  m.def("softmax_cross_entropy", &softmax_cross_entropy, "logits"_a, "labels"_a, "weight"_a, "ignore_index"_a,
        "reduction"_a, "label_smoothing"_a, "out"_a, "gradient"_a = true);
  m.def("count_correct", &count_correct, "logits"_a, "labels"_a);
  m.def("nll_loss", &nll_loss, "input"_a, "target"_a, "weight"_a, "ignore_index"_a, "reduction"_a, "out"_a,
        "gradient"_a = true);
}

}  // namespace fastnn
