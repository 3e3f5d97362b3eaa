// Matrix products of arrays with any strides.
#include "bind/operand.h"
#include "bind/register.h"

namespace fastnn {
namespace {

// The batch shape of a product: NumPy's rules of broadcasting.
Shape broadcast(const Shape& a, const Shape& b) {
  Shape shape(std::max(a.size(), b.size()), 1);
  for (const Shape* s : {&a, &b}) {
    for (std::size_t i = 0; i < s->size(); ++i) {
      py::ssize_t& size = shape[shape.size() - s->size() + i];
      const py::ssize_t own = (*s)[i];
      if (size != 1 && own != 1 && size != own) throw py::value_error("the axes before the last two must broadcast");
      if (own != 1) size = own;
    }
  }
  return shape;
}

// The batch shape of a @ b.
Shape batch_of(const Operand& a, const Operand& b) {
  const auto sentence = [&] {
    return "b: got shape " + text(b.array.shape) + ", want one that fits a of " + text(a.array.shape) + ": ";
  };
  if (a.columns != b.rows) throw py::value_error(sentence() + "(..., M, K) @ (..., K, N)");
  try {
    return broadcast(a.batch, b.batch);
  } catch (const py::value_error& error) {
    throw py::value_error(sentence() + error.what());
  }
}

py::object matmul(py::handle a_, py::handle b_, py::handle out) {
  const Strided a_array = check_strided(a_, "a"), b_array = check_strided(b_, "b", a_array.array);
  Operand a(a_array, true);
  const Operand b(b_array, false);
  Shape batch = batch_of(a, b), shape = batch;
  if (a.array.shape.size() > 1) shape.push_back(a.rows);
  if (b.array.shape.size() > 1) shape.push_back(b.columns);
  if (b.batch.empty() && a.fold()) batch.clear();
  Array like = a.array;
  like.shape = shape;
  const Result c = result(out, like, {}, {&a.memory, &b.memory});
  if (c.array.size > 0) {
    by_dtype(c.array, [&]<class T>(T) { multiply<T>({c.array.as<T>(), b.columns, a, b, batch, false, nullptr}); });
  }
  return c.object;
}

// c = or += a @ b for matrices; c may be any part of a matrix in which rows or columns lie side by side.
void multiply_into(py::handle c_, py::handle a_, py::handle b_, bool add) {
  const Strided c = check_strided(c_, "c"), a = check_strided(a_, "a", c.array), b = check_strided(b_, "b", c.array);
  const Shape& shape = c.array.shape;
  if (shape.size() != 2 || a.array.shape.size() != 2 || b.array.shape.size() != 2) throw py::value_error("want matrices");
  const bool turned = c.strides[1] != 1 && shape[1] != 1;
  if (turned && c.strides[0] != 1) throw py::value_error("c: got strided memory, want rows or columns side by side");
  Operand left(turned ? b : a, true), right(turned ? a : b, false);
  if (turned) {
    left.turn();
    right.turn();
  }
  if (left.columns != right.rows || left.rows != shape[turned] || right.columns != shape[!turned]) {
    throw py::value_error("c: got shape " + text(shape) + ", want that of a @ b");
  }
  if (!py::reinterpret_borrow<py::array>(c_).writeable()) throw py::value_error("c: got a read-only array");
  check_apart(c.memory, a.memory);
  check_apart(c.memory, b.memory);
  if (c.array.size == 0) return;
  by_dtype(c.array, [&]<class T>(T) {
    multiply<T>({c.array.as<T>(), c.strides[turned ? 1 : 0], left, right, {}, add, nullptr});
  });
}

// Writes the inverse of an upper triangular matrix a (n, n) of float64, column by column, by back substitution.
void invert_upper(py::handle out_, py::handle a_) {
  const Strided a = check_strided(a_, "a");
  const Array out = check(out_, "out", Access::write);
  if (!a.array.is_double() || !out.is_double() || out.shape.size() != 2 || out.shape[0] != out.shape[1] ||
      a.array.shape != out.shape) {
    throw py::value_error("a: got shape " + text(a.array.shape) + ", want two square matrices of float64");
  }
  const Index n = out.shape[0];
  const auto at = [&](Index i, Index j) { return a.array.as<double>()[i * a.strides[0] + j * a.strides[1]]; };
  auto* x = out.as<double>();
  for (Index j = 0; j < n; ++j) {
    for (Index i = n - 1; i >= 0; --i) {
      double sum = i == j ? 1 : 0;
      for (Index k = i + 1; k <= j; ++k) sum -= at(i, k) * x[k * n + j];
      x[i * n + j] = i > j ? 0 : sum / at(i, i);
    }
  }
}

}  // namespace

FASTNN_BINDINGS(matmul, m) {
  using namespace py::literals;
  m.def("matmul", &matmul, "a"_a, "b"_a, "out"_a);
  m.def("multiply_into", &multiply_into, "c"_a, "a"_a, "b"_a, "add"_a);
  m.def("invert_upper", &invert_upper, "out"_a, "a"_a);
}

}  // namespace fastnn
