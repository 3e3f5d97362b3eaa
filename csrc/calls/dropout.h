// Converts a drop probability to what the kernels take.
#pragma once

#include <cmath>
#include <cstdint>

namespace fastnn {

inline std::uint32_t drop_threshold(double p) { return std::uint32_t(std::lround(p * 65536)); }

// The kept elements are multiplied by this, which preserves the expected value.
inline double keep_scale(double p) { return p < 1 ? 1 / (1 - p) : 0; }

// Constants of alpha dropout: a kept element becomes scale * x + shift. If everything is dropped, the result is zeros,
// as in torch. G. Klambauer et al., "Self-Normalizing Neural Networks", NIPS 2017, section 3, "new dropout technique".
struct AlphaDropout {
  double scale, shift, dropped;
};

inline AlphaDropout alpha_dropout_of(double p, bool backward) {
  constexpr double kSaturation = -1.7580993408473766;  // the limit of SELU at minus infinity
  const double a = p < 1 ? 1 / std::sqrt((1 - p) * (1 + p * kSaturation * kSaturation)) : 0;
  const double b = backward || p == 0 ? -0.0 : -a * p * kSaturation;  // adding -0 leaves even -0 unchanged
  return {a, b, backward || p == 1 ? 0 : a * kSaturation + b};
}

}  // namespace fastnn
