// Matrix products of arrays with any strides.
#include "bind/operand.h"
#include "bind/register.h"
#include "calls/gemm.h"
#include "runtime/memory.h"

namespace fastnn {
namespace {

// The batch shape of a product: NumPy's rules of broadcasting.
Shape broadcast(const Shape& a, const Shape& b, const std::string& sentence) {
  Shape shape(std::max(a.size(), b.size()), 1);
  for (const Shape* s : {&a, &b}) {
    for (std::size_t i = 0; i < s->size(); ++i) {
      py::ssize_t& size = shape[shape.size() - s->size() + i];
      const py::ssize_t own = (*s)[i];
      if (size != 1 && own != 1 && size != own) throw py::value_error(sentence);
      if (own != 1) size = own;
    }
  }
  return shape;
}

py::object matmul(py::handle a_, py::handle b_, py::handle out, bool add) {
  const Strided a_array = check_strided(a_, "a"), b_array = check_strided(b_, "b", a_array.array);
  Operand a(a_array, true);
  const Operand b(b_array, false);
  const std::string shapes = "b: got shape " + text(b.array.shape) + ", want one that fits a of " + text(a.array.shape);
  if (a.columns != b.rows) throw py::value_error(shapes + ": (..., M, K) @ (..., K, N)");
  Shape batch = broadcast(a.batch, b.batch, shapes + ": the axes before the last two must broadcast");
  Shape shape = batch;
  if (a.array.shape.size() > 1) shape.push_back(a.rows);
  if (b.array.shape.size() > 1) shape.push_back(b.columns);
  if (b.batch.empty() && a.fold()) batch.clear();
  Array like = a.array;
  like.shape = shape;
  const Result c = result(out, like, {}, {&a.memory, &b.memory});
  if (c.array.size > 0) {
    by_dtype(c.array, [&]<class T>(T) { multiply<T>({c.array.as<T>(), a, b, batch, add, nullptr}); });
  }
  return c.object;
}

}  // namespace

FASTNN_BINDINGS(matmul, m) {
  using namespace py::literals;
  m.def("matmul", &matmul, "a"_a, "b"_a, "out"_a, "add"_a);
}

}  // namespace fastnn
