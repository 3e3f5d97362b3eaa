#include "bind/random.h"
#include "bind/register.h"
#include "runtime/memory.h"

namespace fastnn {
namespace {

// Both ends are included, so that every int64 can be one.
void integers(py::handle out, std::int64_t first, std::int64_t last, std::uint64_t seed, std::uint64_t stream,
              std::uint64_t offset) {
  const Array y = check_integers(out, "tensor", Access::write);
  const Place at = place(seed, stream, offset, y.itemsize);
  run(kernel_table().integers, IntegersArgs{y.as<Index>(), y.size, at.skip, at.random, first,
                                            std::uint64_t(last) - std::uint64_t(first) + 1});
}

py::array permutation(Index n, std::uint64_t seed, std::uint64_t stream, std::uint64_t offset) {
  const py::array y = new_array({n}, py::dtype::of<Index>());
  const int bits = permutation_bits(n);
  const Scratch<Index> ends(bits ? permutation_parts(n) << bits : 0);
  const std::uint64_t block = offset / 64, blocks = std::uint64_t(n + 63) / 64;
  run(kernel_table().permutation,
      PermutationArgs{static_cast<Index*>(const_cast<void*>(y.data())), ends.get(), n, {seed, stream, block},
                      {seed, stream, block + blocks}, bits});
  return y;
}

py::array philox(std::uint64_t seed, std::uint64_t stream, std::uint64_t block, Index blocks) {
  py::array_t<std::uint32_t> words({blocks, Index(64)});
  kernel_table().philox({.words = words.mutable_data(), .random = {seed, stream, block}, .blocks = blocks});
  return words;
}

}  // namespace

FASTNN_BINDINGS(random_integers, m) {
  using namespace py::literals;
  m.def("integers", &integers, "out"_a, "first"_a, "last"_a, "seed"_a, "stream"_a, "offset"_a);
  m.def("permutation", &permutation, "n"_a, "seed"_a, "stream"_a, "offset"_a);
  m.def("philox", &philox, "seed"_a, "stream"_a, "block"_a, "blocks"_a);
}

}  // namespace fastnn
