// A whole training through the C API: initial weights, order, products with ReLU and dropout, layer norm, loss, gradients
// and AdamW. Its weights after the last step have the same hash on every machine.
#pragma once

#include "arrays.h"

namespace bits {

template <class T, class Functions>
class Training {
 public:
  explicit Training(const Functions& functions) : c_(functions) {
    x_ = made(kSamples * kSizes[0], 1);
    order_.resize(kSamples);
    for (int i = 0; i < 3; ++i) {
      weight_[i] = made(kSizes[i] * kSizes[i + 1], 0.05, &grad_[i]);
      bias_[i] = made(kSizes[i + 1], 0.05, &grad_[3 + i]);
    }
  }

  // Returns the hash of all weights after some epochs; 0 if a function failed.
  std::uint64_t run(Index epochs) {
    bool done = true;
    for (Index epoch = 0; epoch < epochs; ++epoch) {
      done &= fastnn::c_api().common->permutation(order_.data(), kSamples, {1, std::uint64_t(epoch), 0}) == 0;
      for (Index first = 0; first < kSamples; first += kBatch) done &= step(first);
    }
    Hash hash;
    for (const auto& array : weight_) hash.add(array);
    for (const auto& array : bias_) hash.add(array);
    return done ? hash.value() : 0;
  }

 private:
  using Array = std::vector<T>;
  static constexpr Index kSizes[] = {196, 256, 128, 10}, kSamples = 384, kBatch = 96;

  Array made(Index size, double scale, Array* grad = nullptr) {
    Array array(std::size_t(size), T(0));
    c_.normal(array.data(), size, 0, scale, {0, ++stream_, 0});
    if (grad) *grad = Array(array.size(), T(0));
    return array;
  }

  bool step(Index first) {
    const fastnn_random drawn[] = {{2, 0, std::uint64_t(1000 * count_)}, {2, 1, std::uint64_t(1000 * count_)}, {0, 0, 0}};
    const double p[] = {0.3, 0.3, 0};
    std::vector<Index> labels(kBatch);
    Array in[4], product[3];
    int failed = 0;
    for (Index i = 0; i < kBatch; ++i) {
      const Index sample = order_[std::size_t(first + i)];
      labels[std::size_t(i)] = sample % kSizes[3];
      in[0].insert(in[0].end(), x_.begin() + sample * kSizes[0], x_.begin() + (sample + 1) * kSizes[0]);
    }
    for (int i = 0; i < 3; ++i) {
      in[i + 1].resize(std::size_t(kBatch * kSizes[i + 1]));
      product[i] = in[i + 1];
      failed |= c_.linear(in[i + 1].data(), product[i].data(), in[i].data(), weight_[i].data(), bias_[i].data(), kBatch,
                          kSizes[i], kSizes[i + 1], i < 2 ? FASTNN_GELU : FASTNN_IDENTITY, 0, 0, p[i], drawn[i]);
    }
    Array d = in[3];
    std::vector<double> loss(kBatch);
    failed |= c_.softmax_cross_entropy(d.data(), loss.data(), in[3].data(), labels.data(), nullptr, kBatch, kSizes[3], 0.1,
                                       1.0 / kBatch);
    for (int i = 2; i >= 0; --i) {
      const Index m = kBatch, in_size = kSizes[i], out_size = kSizes[i + 1];
      failed |= c_.bias_activation_backward(d.data(), grad_[3 + i].data(), d.data(), product[i].data(), bias_[i].data(), m,
                                            out_size, i < 2 ? FASTNN_GELU : FASTNN_IDENTITY, 0, 0, p[i], drawn[i]);
      failed |= c_.gemm(grad_[i].data(), d.data(), in[i].data(), out_size, in_size, m, in_size, 1, out_size, in_size, 1, 0);
      Array dx(in[i].size());
      failed |= c_.gemm(dx.data(), d.data(), weight_[i].data(), m, in_size, out_size, in_size, out_size, 1, in_size, 1, 0);
      d = dx;
    }
    return failed == 0 && update();
  }

  bool update() {
    T *params[6], *grads[6], *state[12];
    Index sizes[6];
    for (int i = 0; i < 6; ++i) {
      Array& parameter = i < 3 ? weight_[i] : bias_[i - 3];
      for (Array* kind : {&average_[i], &square_[i]}) kind->resize(parameter.size());
      params[i] = parameter.data(), grads[i] = grad_[i].data(), sizes[i] = Index(parameter.size());
      state[i] = average_[i].data(), state[6 + i] = square_[i].data();
    }
    fastnn_options options = fastnn_options_adamw();
    double memory = 1;
    return c_.adam(params, grads, state, sizes, 6, ++count_, &memory, &options) == 0;
  }

  const Functions& c_;
  std::uint64_t stream_ = 0;
  Index count_ = 0;
  std::vector<Index> order_;
  Array x_, weight_[3], bias_[3], grad_[6], average_[6], square_[6];
};

}  // namespace bits
