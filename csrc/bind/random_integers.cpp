#include "bind/random.h"
#include "bind/register.h"
#include "runtime/memory.h"
#include "steps/random.h"

namespace fastnn {
namespace {

// Both ends are included, so that every int64 can be the end.
void integers(py::handle out, std::int64_t first, std::int64_t last, std::uint64_t seed, std::uint64_t stream,
              std::uint64_t offset) {
  const Array y = check_integers(out, "tensor", Access::write);
  const Place at = place(seed, stream, offset, y.itemsize);
  run(kernel_table().integers, IntegersArgs{.y = y.as<Index>(), .size = y.size, .skip = at.skip, .random = at.random,
                                            .low = first, .range = std::uint64_t(last) - std::uint64_t(first) + 1});
}

py::array permutation(Index n, std::uint64_t seed, std::uint64_t stream, std::uint64_t offset) {
  const py::array y = new_array({n}, py::dtype::of<Index>());
  const int bits = permutation_bits(n);
  const Scratch<Index> ends(bits ? permutation_parts(n) << bits : 0);
  const std::uint64_t block = offset / kBlockWords, blocks = std::uint64_t(n + kBlockWords - 1) / kBlockWords;
  run(kernel_table().permutation, PermutationArgs{.y = static_cast<Index*>(const_cast<void*>(y.data())),
                                                  .ends = ends.get(), .size = n, .buckets = {seed, stream, block},
                                                  .swaps = {seed, stream, block + blocks}, .bits = bits});
  return y;
}

py::array philox(std::uint64_t seed, std::uint64_t stream, std::uint64_t block, Index blocks) {
  py::array_t<std::uint32_t> words({blocks, kBlockWords});
  kernel_table().philox({.words = words.mutable_data(), .random = {seed, stream, block}, .blocks = blocks});
  return words;
}

// Computes the same words with the scalar steps, which a GPU would use, to compare them.
py::array philox_scalar(std::uint64_t seed, std::uint64_t stream, std::uint64_t block, Index blocks) {
  py::array_t<std::uint32_t> words({blocks, kBlockWords});
  for (Index i = 0; i < blocks * kBlockCounters; ++i) {
    const PhiloxWords w = philox_words(seed, stream, block * std::uint64_t(kBlockCounters) + std::uint64_t(i));
    std::uint32_t* at = words.mutable_data() + i / kBlockCounters * kBlockWords + i % kBlockCounters;
    for (int k = 0; k < 4; ++k) at[k * kBlockCounters] = w.word[k];
  }
  return words;
}

}  // namespace

FASTNN_BINDINGS(random_integers, m) {
  using namespace py::literals;
  m.def("integers", &integers, "out"_a, "first"_a, "last"_a, "seed"_a, "stream"_a, "offset"_a);
  m.def("permutation", &permutation, "n"_a, "seed"_a, "stream"_a, "offset"_a);
  m.def("philox", &philox, "seed"_a, "stream"_a, "block"_a, "blocks"_a);
  m.def("philox_scalar", &philox_scalar, "seed"_a, "stream"_a, "block"_a, "blocks"_a);
}

}  // namespace fastnn
