// Maps with fewer channels than a vector holds, as behind partial channel connections: a vector holds
// the channels of several pixels side by side, which lie one after the other in memory. What belongs to
// a channel is repeated for each of these pixels.
#pragma once

#include <numeric>
#include <utility>

#include "lanes.h"

#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define TUNE_NAS_SHUFFLES 1
#endif
#endif

namespace tune_nas {

template <class T>
constexpr int kWidest = std::max<int>(4, kVectorBytes / sizeof(T));

// Whether a vector holds several pixels.
template <class T>
inline bool is_narrow(int channels) {
  return channels < kWidest<T> && kWidest<T> % channels == 0;
}

// The most channels of pixels side by side that `pixels_in_vectors` gives.
template <class T>
constexpr int kMostInVectors = 64 * kWidest<T> / 4;

// The least number of pixels side by side that fill whole vectors, of up to 64 channels (4 pixels of 12
// fill 3 vectors of 16); 1 if it does not divide `pixels`.
template <class T>
inline int pixels_in_vectors(int channels, int64_t pixels) {
  const int count = channels < 64 ? kWidest<T> / std::gcd(channels, kWidest<T>) : 1;
  return pixels % count == 0 ? count : 1;
}

// `rows` rows by channel, each of them `count` times in a row of the result.
template <class T>
inline void repeat(const T* from, int rows, int channels, int count, T* to) {
  for (int row = 0; row < rows; row++, from += channels, to += count * channels)
    for (int c = 0; c < channels; c += 4) {
      const Vec<T, 4> v = load<T, 4>(from + c);
      for (int i = c; i < count * channels; i += channels) store<T, 4>(to + i, v);
    }
}
template <class T>
Aligned<T> repeated(const Aligned<T>& from, int channels, int count) {
  Aligned<T> to(from.size() * count);
  repeat(from.data(), from.size() / channels, channels, count, to.data());
  return to;
}

// The sums over the repetitions of a channel, the reverse of `repeated`.
inline std::vector<double> folded(const std::vector<double>& from, int channels, int count) {
  std::vector<double> to(from.size() / count, 0.0);
  for (size_t at = 0; at < from.size(); at++) to[at / (channels * count) * channels + at % channels] += from[at];
  return to;
}

// R lines of a depthwise convolution of stride 1, in a vector of each: a vector of the input is loaded
// once for all of the lines that it is a part of. `weight` has kWidest values for each tap.
template <class T, int L, int K, int D, int R>
inline void narrow_lines(const T* in, int row, const T* weight, int channels, T* out, int line) {
  Vec<T, L> sum[R] = {};
#pragma GCC unroll 5
  for (int kx = 0; kx < K; kx++) {
    Vec<T, L> w[K];
#pragma GCC unroll 5
    for (int ky = 0; ky < K; ky++) w[ky] = load<T, L>(weight + (ky * K + kx) * kWidest<T>);
#pragma GCC unroll 16
    for (int r = 0; r < R + (K - 1) * D; r++) {
      Vec<T, L> v = load<T, L>(in + static_cast<ptrdiff_t>(r) * row + kx * D * channels);
      in_register<T, L>(v);
#pragma GCC unroll 5
      for (int ky = 0; ky < K; ky++)
        if (r >= ky * D && r - ky * D < R) sum[r - ky * D] += w[ky] * v;
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; r++) store<T, L>(out + r * line, sum[r]);
}

// A depthwise convolution of stride 1 of a padded image of `row` elements a line.
template <class T, int K, int D>
void narrow_depthwise(const T* padded, int row, const T* weight, Plane out, T* to) {
  const int channels = out.channels, line = out.width * channels;
  alignas(64) T wide[K * K * kWidest<T>];
  repeat(weight, K * K, channels, kWidest<T> / channels, wide);
  const auto lines = [&](auto count, int y) {
    constexpr int R = decltype(count)::value;
    for_lanes<T>(line, [&](auto lanes, int i) {
      narrow_lines<T, decltype(lanes)::value, K, D, R>(padded + static_cast<size_t>(y) * row + i, row, wide + i % kWidest<T>, channels, to + y * line + i, line);
    });
  };
  int y = 0;
  for (; y + 8 <= out.height; y += 8) lines(std::integral_constant<int, 8>{}, y);
  for (; y + 4 <= out.height; y += 4) lines(std::integral_constant<int, 4>{}, y);
  for (; y < out.height; y++) lines(std::integral_constant<int, 1>{}, y);
}

// G columns of taps of the gradient of a depthwise weight: their sums over R lines in a vector of each.
template <class T, int L, int K, int D, int G, int R>
inline void narrow_weights_lines(const T* in, int row, const T* g, int g_row, int channels, Vec<T, L> (&sum)[G][K]) {
  Vec<T, L> gradient[R];
#pragma GCC unroll 4
  for (int r = 0; r < R; r++) gradient[r] = load<T, L>(g + r * g_row);
#pragma GCC unroll 16
  for (int r = 0; r < R + (K - 1) * D; r++)
#pragma GCC unroll 3
    for (int kx = 0; kx < G; kx++) {
      Vec<T, L> v = load<T, L>(in + static_cast<ptrdiff_t>(r) * row + kx * D * channels);
      in_register<T, L>(v);
#pragma GCC unroll 5
      for (int ky = 0; ky < K; ky++)
        if (r >= ky * D && r - ky * D < R) sum[kx][ky] += gradient[r - ky * D] * v;
    }
}

template <class T, int K, int D, int G>
inline void narrow_weights_columns(const T* padded, int row, const T* g, int g_row, Plane out, T* gradient) {
  const int channels = out.channels, line = out.width * channels;
  const auto run = [&](auto lanes, int first, int last) {
    constexpr int L = decltype(lanes)::value;
    Vec<T, L> sum[G][K] = {};
    for (int i = first; i < last; i += L) {
      int y = 0;
      const T *in = padded + i, *from = g + i;
      for (; y + 4 <= out.height; y += 4, in += 4 * row, from += 4 * g_row)
        narrow_weights_lines<T, L, K, D, G, 4>(in, row, from, g_row, channels, sum);
      for (; y < out.height; y++, in += row, from += g_row)
        narrow_weights_lines<T, L, K, D, G, 1>(in, row, from, g_row, channels, sum);
    }
    for (int kx = 0; kx < G; kx++)
      for (int ky = 0; ky < K; ky++)
        for (int l = 0; l < L; l++) gradient[(ky * K + kx) * channels + (first + l) % channels] += sum[kx][ky][l];
  };
  const int whole = line / kWidest<T> * kWidest<T>;
  run(std::integral_constant<int, kWidest<T>>{}, 0, whole);
  for (int i = whole; i < line; i += 4) run(std::integral_constant<int, 4>{}, i, i + 4);
}

// gradient (K, K, channels) += sum over pixels of padded input · gradient, at stride 1.
template <class T, int K, int D>
void narrow_depthwise_weights(const T* padded, int row, const T* g, int g_row, Plane out, T* gradient) {
  narrow_weights_columns<T, K, D, 3>(padded, row, g, g_row, out, gradient);
  if constexpr (K == 5) narrow_weights_columns<T, K, D, 2>(padded + 3 * D * out.channels, row, g, g_row, out, gradient + 3 * out.channels);
}

// Whether the vectors below hold several pixels of `channels` channels, for a product from and to them.
template <class T>
constexpr bool is_narrow_product(int channels) {
#if TUNE_NAS_SHUFFLES
  return (channels == 4 || channels == 8) && channels < kWidest<T>;
#else
  return false;
#endif
}

#if TUNE_NAS_SHUFFLES

// Of each pixel the channel J, for all of its C channels.
template <class T, int C, int J, int... I>
inline Vec<T, kWidest<T>> spread_channel(Vec<T, kWidest<T>> v, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(v, v, (I / C * C + J)...);
}
template <class T, int C, int J>
inline Vec<T, kWidest<T>> spread_channel(Vec<T, kWidest<T>> v) {
  return spread_channel<T, C, J>(v, std::make_integer_sequence<int, kWidest<T>>{});
}

template <class T, int C, int P, int... J>
inline void narrow_product_tile(const T* from, const T* weight, T* to, std::integer_sequence<int, J...>) {
  constexpr int L = kWidest<T>;
  Vec<T, L> x[P], sum[P] = {};
#pragma GCC unroll 8
  for (int p = 0; p < P; p++) x[p] = load<T, L>(from + p * L);
  const auto add = [&](auto channel) {
    constexpr int c = decltype(channel)::value;
    const Vec<T, L> w = load<T, L>(weight + c * L);
#pragma GCC unroll 8
    for (int p = 0; p < P; p++) sum[p] += w * spread_channel<T, C, c>(x[p]);
  };
  (add(std::integral_constant<int, J>{}), ...);
#pragma GCC unroll 8
  for (int p = 0; p < P; p++) store<T, L>(to + p * L, sum[p]);
}

template <class T, int C>
inline int narrow_product_of(const T* from, const T* weight, int pixels, T* to) {
  constexpr int L = kWidest<T>, P = kPixels;
  alignas(64) T wide[C * L];
  repeat(weight, C, C, L / C, wide);
  const int end = pixels * C;
  const auto channels = std::make_integer_sequence<int, C>{};
  int at = 0;
  for (; at + P * L <= end; at += P * L) narrow_product_tile<T, C, P>(from + at, wide, to + at, channels);
  for (; at + L <= end; at += L) narrow_product_tile<T, C, 1>(from + at, wide, to + at, channels);
  return at / C;
}

// A pointwise convolution of the pixels that fill whole vectors; returns their number.
template <class T>
int narrow_product(const T* from, int channels, const T* weight, int pixels, T* to) {
  if constexpr (is_narrow_product<T>(8))
    if (channels == 8) return narrow_product_of<T, 8>(from, weight, pixels, to);
  return narrow_product_of<T, 4>(from, weight, pixels, to);
}

template <class T, int C, int... J>
int narrow_product_weights_of(const T* x, const T* g, int pixels, T* gradient, std::integer_sequence<int, J...>) {
  constexpr int L = kWidest<T>, S = C == 4 ? 2 : 1;  // chains of additions
  Vec<T, L> sum[S][C] = {};
  const int end = pixels * C;
  int at = 0;
  const auto add = [&](auto chain) {
    constexpr int s = decltype(chain)::value;
    const Vec<T, L> v = load<T, L>(x + at + s * L), of = load<T, L>(g + at + s * L);
    ((sum[s][J] += of * spread_channel<T, C, J>(v)), ...);
  };
  for (; at + S * L <= end; at += S * L) {
    add(std::integral_constant<int, 0>{});
    if constexpr (S == 2) add(std::integral_constant<int, 1>{});
  }
  for (; at + L <= end; at += L) add(std::integral_constant<int, 0>{});
  for (int j = 0; j < C; j++)
    for (int s = 0; s < S; s++)
      for (int l = 0; l < L; l++) gradient[j * C + l % C] += sum[s][j][l];
  return at / C;
}

// gradient (inputs, outputs) += sum over the pixels that fill whole vectors; returns their number.
template <class T>
int narrow_product_weights(const T* x, int channels, const T* g, int pixels, T* gradient) {
  if constexpr (is_narrow_product<T>(8))
    if (channels == 8) return narrow_product_weights_of<T, 8>(x, g, pixels, gradient, std::make_integer_sequence<int, 8>{});
  return narrow_product_weights_of<T, 4>(x, g, pixels, gradient, std::make_integer_sequence<int, 4>{});
}
#endif

}  // namespace tune_nas
