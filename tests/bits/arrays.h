// Numbered arrays, made at first use. Philox, powers of two and a table make them the same on every machine.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <map>
#include <vector>

#include "capi/api.h"

namespace bits {

using Index = std::int64_t;

// Normal values; normal values times powers of two, down to denormals; normal values with infinity, NaN and others.
enum Kind { kNormal, kWide, kSpecial };

struct Shape {
  Index outer, channels, inner;
};

// FNV-1a. All NaNs count as equal, because the CPU determines which of two NaNs results, and its sign.
class Hash {
 public:
  template <class V>
  void add(const std::vector<V>& values) {
    for (V v : values) {
      if (v != v) v = std::numeric_limits<V>::quiet_NaN();
      unsigned char bytes[sizeof(V)];
      std::memcpy(bytes, &v, sizeof v);
      for (unsigned char byte : bytes) value_ = (value_ ^ byte) * 1099511628211u;
    }
  }
  std::uint64_t value() const { return value_; }

 private:
  std::uint64_t value_ = 14695981039346656037u;
};

template <class T>
class Arrays {
 public:
  explicit Arrays(Kind kind) : kind_(kind) {}

  T* a(int number, Index size) {
    std::vector<T>& array = reals_[number];
    if (array.empty()) array = filled(number, size);
    return array.data();
  }
  T* zeros(int number, Index size) { return made(reals_[number], size); }
  double* d(int number, Index size) { return made(doubles_[number], size); }
  std::uint8_t* bytes(int number, Index size) { return made(bytes_[number], size); }
  // Labels below `classes`, and some that are ignored.
  Index* labels(int number, Index size, Index classes) {
    Index* array = made(integers_[number], size);
    for (Index i = 0; i < size; ++i) array[i] = i % 7 == 5 ? -1 : i * 31 % classes;
    return array;
  }
  void add_to(Hash& hash) const {
    for (const auto& [number, array] : reals_) hash.add(array);
    for (const auto& [number, array] : doubles_) hash.add(array);
    for (const auto& [number, array] : bytes_) hash.add(array);
  }

 private:
  template <class V>
  static V* made(std::vector<V>& array, Index size) {
    if (array.empty()) array.resize(std::size_t(size));
    return array.data();
  }
  static int normal(float* y, Index n, fastnn_random r) { return fastnn::c_api().f32->normal(y, n, 0, 1, r); }
  static int normal(double* y, Index n, fastnn_random r) { return fastnn::c_api().f64->normal(y, n, 0, 1, r); }

  std::vector<T> filled(int number, Index size) const {
    using L = std::numeric_limits<T>;
    const T table[] = {L::quiet_NaN(), L::infinity(), -L::infinity(), T(-0.0), L::denorm_min(),
                       -12345 * L::denorm_min(), L::min(), L::max(), L::lowest(), T(88.8), T(-103.9), T(709.9),
                       T(-745.2), T(1e30), T(-1e4)};
    const int lowest = L::min_exponent - L::digits, exponents = L::max_exponent - lowest - 3;
    std::vector<T> array(std::size_t(size), T(0));
    normal(array.data(), size, {7, std::uint64_t(number), 0});
    for (Index i = 0; i < size; ++i) {
      T& x = array[std::size_t(i)];
      if (kind_ == kWide) x = std::ldexp(x, lowest + int((37 * i + 11 * number) % exponents));
      const std::size_t entry = std::size_t(i / 97 + number) % std::size(table);
      if (kind_ == kSpecial && (i + 5 * number) % 97 == 13) x = table[entry];
    }
    return array;
  }

  Kind kind_;
  std::map<int, std::vector<T>> reals_;
  std::map<int, std::vector<double>> doubles_;
  std::map<int, std::vector<std::uint8_t>> bytes_;
  std::map<int, std::vector<Index>> integers_;
};

}  // namespace bits
