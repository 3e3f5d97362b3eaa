#include "bind/gradients.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "bind/register.h"

namespace fastnn {
namespace {

auto kernel_of(const GradientKernels& kernels, int element) {
  return element == int(Element::float32) ? kernels.f32 : element == int(Element::float64) ? kernels.f64 : kernels.bf16;
}

// Returns the tensors in the given order, since their sum depends on it. A gradient that is listed twice has size 0 the
// second time.
std::vector<Tensor> checked_tensors(const py::sequence& grads, const std::vector<std::string>& names) {
  std::vector<Tensor> tensors;
  for (std::size_t i = 0; i < names.size(); ++i) tensors.push_back(check_tensor(grads[i], names[i], Access::write));
  std::vector<std::size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), std::size_t(0));
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t i, std::size_t j) { return tensors[i].data < tensors[j].data; });
  for (std::size_t k = 1; k < order.size(); ++k) {
    const Tensor& before = tensors[order[k - 1]];
    Tensor& g = tensors[order[k]];
    if (before.size == 0 || g.size == 0 || before.data + before.bytes() <= g.data) continue;
    if (before.data != g.data || before.bytes() != g.bytes()) {
      throw py::value_error(g.name + ": got memory that overlaps " + before.name +
                            ", want memory of its own; pass a copy of it");
    }
    std::swap(order[k - 1], order[k]);  // the next one is compared with the first of them
    g.size = 0;
  }
  return tensors;
}

Gradients checked(const py::sequence& grads, const std::vector<std::string>& names) {
  Gradients list;
  for (const Tensor& g : checked_tensors(grads, names)) {
    if (g.size) list.add(g.element, g.data, g.size);
  }
  return list;
}

// Returns the positions of the gradients whose elements are in no gradient before them.
std::vector<std::size_t> distinct(const py::sequence& grads, const std::vector<std::string>& names) {
  const std::vector<Tensor> tensors = checked_tensors(grads, names);
  std::vector<std::size_t> found;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (tensors[i].size) found.push_back(i);
  }
  return found;
}

double clip_norm(const py::sequence& grads, const std::vector<std::string>& names, double max_norm) {
  const Gradients list = checked(grads, names);
  const double norm = std::sqrt(list.sum_squares());
  const double factor = clip_factor(norm, max_norm);
  if (std::isfinite(norm) && factor != 1) list.scale(factor);
  return norm;
}

void scale(const py::sequence& grads, const std::vector<std::string>& names, double factor) {
  checked(grads, names).scale(factor);
}

void clamp(const py::sequence& grads, const std::vector<std::string>& names, double low, double high) {
  checked(grads, names).clamp(low, high);
}

}  // namespace

void Gradients::add(Element element, void* grad, Index size) { gradients_[int(element)].push_back({grad, size}); }

// Calls visit(element, list) for each element type that occurs.
template <class Visit>
void Gradients::for_each_list(Visit visit) const {
  for (int element = 0; element < kElements; ++element) {
    const auto& gradients = gradients_[element];
    if (gradients.empty()) continue;
    std::vector<GradientSegment> memory(gradients.size());
    SegmentList<GradientSegment> list(memory.data());
    for (const Gradient& g : gradients) list.add(g.size).grad = g.data;
    visit(element, list);
  }
}

double Gradients::sum_squares() const {
  double total = 0;
  for_each_list([&](int element, const SegmentList<GradientSegment>& list) {
    std::vector<double> partial(std::size_t(partial_sums_of(list.end())));
    const auto kernel = kernel_of(kernel_table().sum_squares, element);
    total = add_squares(total, list, partial.data(), [=](const GradientArgs& args) { run(kernel, args); });
  });
  return total;
}

void Gradients::pass(const GradientKernels& kernels, double low, double high) const {
  for_each_list([&](int element, const SegmentList<GradientSegment>& list) {
    run(kernel_of(kernels, element),
        GradientArgs{.segments = list.get(), .count = list.count(), .partial = nullptr, .low = low, .high = high});
  });
}

void Gradients::scale(double factor) const { pass(kernel_table().scale, factor, 0); }

void Gradients::clamp(double low, double high) const { pass(kernel_table().clamp, low, high); }

double clip_factor(double norm, double max_norm) { return std::min(1.0, max_norm / (norm + 1e-6)); }

FASTNN_BINDINGS(gradients, m) {
  using namespace py::literals;
  m.def("clip_norm", &clip_norm, "grads"_a, "names"_a, "max_norm"_a);
  m.def("clip_factor", &clip_factor, "norm"_a, "max_norm"_a);
  m.def("distinct", &distinct, "grads"_a, "names"_a);
  m.def("scale", &scale, "grads"_a, "names"_a, "factor"_a);
  m.def("clamp", &clamp, "grads"_a, "names"_a, "low"_a, "high"_a);
}

}  // namespace fastnn
