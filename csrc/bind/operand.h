// The operands of a matrix product, as the bindings pass them.
#pragma once

#include "bind/arrays.h"
#include "calls/gemm.h"
#include "runtime/memory.h"
#include "runtime/threads.h"

namespace fastnn {

// One operand: its last two axes, and the axes of the batch.
struct Operand {
  Array array, memory;
  Shape batch, batch_strides;
  Index rows = 1, columns = 1, row = 0, column = 0;

  Operand(const Strided& s, bool first) : array(s.array), memory(s.memory) {
    const std::size_t axes = s.array.shape.size();
    if (axes == 0) throw py::value_error(array.name + ": got shape (), want at least one axis");
    const std::size_t matrix = axes >= 2 ? axes - 2 : 0;
    batch.assign(s.array.shape.begin(), s.array.shape.begin() + py::ssize_t(matrix));
    batch_strides.assign(s.strides.begin(), s.strides.begin() + py::ssize_t(matrix));
    if (axes >= 2) {
      rows = s.array.shape[matrix], row = s.strides[matrix];
      columns = s.array.shape[matrix + 1], column = s.strides[matrix + 1];
    } else if (first) {
      columns = s.array.shape[0], column = s.strides[0];
    } else {
      rows = s.array.shape[0], row = s.strides[0];
    }
  }

  // Makes one matrix of a batch, if its rows lie at one distance. Returns whether that is so.
  bool fold() {
    Index count = rows;
    for (std::size_t axis = batch.size(); axis-- > 0; count *= batch[axis]) {
      if (batch[axis] != 1 && batch_strides[axis] != count * row) return false;
    }
    rows = count;
    batch.clear();
    batch_strides.clear();
    return true;
  }

  // Transposes the matrices.
  void turn() {
    std::swap(rows, columns);
    std::swap(row, column);
  }

  // Where the matrices of a batch of this shape begin.
  void offsets(const Shape& shape, Index* to) const {
    Index count = 1;
    to[0] = 0;
    const std::size_t skipped = shape.size() - batch.size();
    for (std::size_t axis = 0; axis < shape.size(); ++axis) {
      const bool own = axis >= skipped && batch[axis - skipped] != 1;
      const Index stride = own ? batch_strides[axis - skipped] : 0;
      for (Index i = count - 1; i >= 0; --i) {  // backward: the last entries do not overwrite what is still needed
        for (Index j = shape[axis] - 1; j >= 0; --j) to[i * shape[axis] + j] = to[i] + j * stride;
      }
      count *= shape[axis];
    }
  }
};

template <class T>
struct Product {
  T* c;         // rows of elements side by side
  Index c_row;  // at this distance
  const Operand &a, &b;
  const Shape& batch;
  bool add;
  const BiasActivationArgs<T>* then;
};

template <class T>
void multiply(const Product<T>& p) {
  Index products = 1;
  for (const py::ssize_t size : p.batch) products *= size;
  const Operand &a = p.a, &b = p.b;
  std::vector<Index> offsets(products > 1 ? std::size_t(2 * products) : 0);
  Index *a_offsets = products > 1 ? offsets.data() : nullptr, *b_offsets = products > 1 ? a_offsets + products : nullptr;
  if (products > 1) {
    a.offsets(p.batch, a_offsets);
    b.offsets(p.batch, b_offsets);
  }
  GemmArgs<T> args = {.c = p.c, .a = a.array.as<T>(), .b = b.array.as<T>(), .m = a.rows, .n = b.columns,
                      .k = a.columns, .c_row = p.c_row, .a_row = a.row, .a_k = a.column, .b_k = b.row,
                      .b_column = b.column, .add = p.add, .batch = products, .a_offsets = a_offsets,
                      .b_offsets = b_offsets, .chunk_rows = 0, .chunk_columns = 0, .slots = 0, .work = 0,
                      .buffers = nullptr, .then = p.then, .apply = kernels_for<T>().bias_activation_range};
  plan(args, get_num_threads());
  const Scratch<T> buffers(args.slots * gemm_buffer<T>());
  args.buffers = buffers.get();
  run(kernels_for<T>().gemm, args);
}

}  // namespace fastnn
