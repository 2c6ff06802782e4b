// Batch normalization: its sums, and its effect on a value and on a gradient.
#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "lanes.h"
#include "narrow.h"

namespace tune_nas {

using OptionalTensor = std::optional<at::Tensor>;

constexpr int64_t kPixelsInASum = 64;  // summed as T before they are added as double
constexpr int kChains = 4;              // sums that grow side by side: an addition takes 4 cycles

// to (+)= v, as double.
template <class T, int L>
inline void add_as_double(Vec<T, L> v, double* to, bool begun = true) {
  const Vec<double, L> wide = __builtin_convertvector(v, Vec<double, L>);
  store<double, L>(to, begun ? load<double, L>(to) + wide : wide);
}

// sums (2, channels) (+)= sum of a, sum of a · b, over pixels.
template <class T>
void add_blocks(const T* a, const T* b, int64_t pixels, int channels, double* sums, bool begun) {
  for (int64_t first = 0; first < pixels; first += kPixelsInASum) {
    const int64_t last = std::min(pixels, first + kPixelsInASum);
    for_lanes<T>(channels, [&](auto lanes, int c) {
      constexpr int L = decltype(lanes)::value;
      Vec<T, L> one[kChains] = {}, two[kChains] = {};
      int64_t p = first;
      for (; p + kChains <= last; p += kChains)
        for (int k = 0; k < kChains; k++) {
          const Vec<T, L> v = load<T, L>(a + (p + k) * channels + c);
          one[k] += v;
          two[k] += v * load<T, L>(b + (p + k) * channels + c);
        }
      for (; p < last; p++) {
        const Vec<T, L> v = load<T, L>(a + p * channels + c);
        one[0] += v;
        two[0] += v * load<T, L>(b + p * channels + c);
      }
      for (int k = 1; k < kChains; k++) one[0] += one[k], two[0] += two[k];
      add_as_double<T, L>(one[0], sums + c, begun || first > 0);
      add_as_double<T, L>(two[0], sums + channels + c, begun || first > 0);
    });
  }
}

// sums (2, channels) += sum of a, sum of a · b, over pixels.
template <class T>
void add_sums(const T* a, const T* b, int64_t pixels, int channels, double* sums) {
  const int count = pixels_in_vectors<T>(channels, pixels), all = count * channels;
  if (count == 1 || pixels == 0) return add_blocks(a, b, pixels, channels, sums, true);
  double wide[2 * kMostInVectors<T>];
  add_blocks(a, b, pixels / count, all, wide, false);
  for (int i = 0; i < 2 * all; i += channels)
    for (int c = 0; c < channels; c++) sums[i / all * channels + c] += wide[i + c];
}

inline std::vector<double> over_threads(const std::vector<double>& sums, int channels) {
  std::vector<double> total(2 * channels, 0.0);
  for (size_t i = 0; i < sums.size(); i++) total[i % total.size()] += sums[i];
  return total;
}

// A normalization gain · (y - mean) · inverse + bias: mean, inverse, gain and bias of a channel,
// (4, channels) as double; without learned parameters the gain is 1 and the bias 0. With `by_batch`,
// mean and inverse are those of y, and the running ones are updated if `momentum` is above 0.
struct Norm {
  OptionalTensor mean, variance;
  bool by_batch;
  double momentum, eps;
  OptionalTensor gain = {}, bias = {};

  at::Tensor of(const std::vector<double>& sums, int channels, int64_t count) const {
    at::Tensor normal = at::empty({4, channels}, at::kDouble);
    double* to = normal.data_ptr<double>();
    for (int c = 0; c < channels; c++) {
      double center, spread;
      if (by_batch) {
        center = sums[c] / count;
        spread = std::max(0.0, sums[channels + c] / count - center * center);
        if (momentum > 0) {
          move(*mean, c, center);
          move(*variance, c, spread * count / std::max<int64_t>(1, count - 1));
        }
      } else {
        center = at(*mean, c);
        spread = at(*variance, c);
      }
      to[c] = center;
      to[channels + c] = 1.0 / std::sqrt(spread + eps);
      to[2 * channels + c] = gain ? at(*gain, c) : 1.0;
      to[3 * channels + c] = bias ? at(*bias, c) : 0.0;
    }
    return normal;
  }

 private:
  static double at(const at::Tensor& t, int c) {
    return t.scalar_type() == at::kFloat ? t.const_data_ptr<float>()[c] : t.const_data_ptr<double>()[c];
  }
  template <class T>
  void move_as(const at::Tensor& t, int c, double to) const {
    T& value = t.data_ptr<T>()[c];
    value += static_cast<T>(momentum) * (static_cast<T>(to) - value);
  }
  void move(const at::Tensor& t, int c, double to) const {
    if (t.scalar_type() == at::kFloat) move_as<float>(t, c, to);
    else move_as<double>(t, c, to);
  }
};

// weight · norm(y) = scale · y + shift: the two, one after the other.
template <class T>
Aligned<T> affine(const OptionalTensor& normal, double weight) {
  if (!normal) return {};
  const int64_t channels = normal->size(1);
  const double* from = normal->const_data_ptr<double>();
  Aligned<T> to(2 * channels);
  for (int64_t c = 0; c < channels; c++) {
    const double scale = from[2 * channels + c] * from[channels + c];
    to[c] = static_cast<T>(weight * scale);
    to[channels + c] = static_cast<T>(weight * (from[3 * channels + c] - scale * from[c]));
  }
  return to;
}

// The effect of weight · norm(y) on a gradient g: a · g + b · y + d by channel, the three one after
// the other; and the gradients of the weight, and of gain and bias (2, channels).
template <class T>
struct ThroughNorm {
  Aligned<T> coefficients;
  double of_weight;
  at::Tensor of_norm;
};

// `sums` are those of g and of g · y.
template <class T>
ThroughNorm<T> through_norm(const double* sums, const at::Tensor& normal, double weight, bool by_batch,
                            int64_t count) {
  const int64_t channels = normal.size(1);
  const double *mean = normal.const_data_ptr<double>(), *inverse = mean + channels;
  const double *gain = inverse + channels, *bias = gain + channels;
  Aligned<T> to(3 * channels, T(0));
  const at::Tensor norms = at::empty({2, channels}, at::kDouble);
  double *of_norm = norms.data_ptr<double>(), of_weight = 0;
  for (int64_t c = 0; c < channels; c++) {
    const double along = inverse[c] * (sums[channels + c] - mean[c] * sums[c]);
    const double a = weight * gain[c] * inverse[c];
    of_weight += gain[c] * along + bias[c] * sums[c];
    of_norm[c] = weight * along;
    of_norm[channels + c] = weight * sums[c];
    to[c] = static_cast<T>(a);
    if (!by_batch) continue;
    const double b = -a * inverse[c] * along / count;
    to[channels + c] = static_cast<T>(b);
    to[2 * channels + c] = static_cast<T>(-a * sums[c] / count - b * mean[c]);
  }
  return {to, of_weight, norms};
}

}  // namespace tune_nas
