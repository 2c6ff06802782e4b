// A dense 3 × 3 convolution with fewer products: Winograd's F(2 × 2, 3 × 3), Lavin and Gray, "Fast
// Algorithms for Convolutional Neural Networks", CVPR 2016, arXiv:1509.09308.
//
// A tile is 2 × 2 pixels of the output, Y = Aᵀ (Σ_c U_c ∘ Bᵀ d_c B) A, with d the 4 × 4 pixels of
// the padded input under it and U = G w Gᵀ the weights: 16 products for each pair of channels where
// the window, pixel by pixel, takes 36.
#pragma once

#include "tiles.h"

namespace tune_nas {

constexpr int kTaps = 16;         // of a transformed tile
constexpr int kTilesAtOnce = 16;  // so that they stay in the cache

// Elements from one tap of the tiles to the next. A line more than they need: at a multiple of a page
// all taps of a tile would want the same few lines of the cache.
template <class T>
size_t tap_step(int channels) {
  return static_cast<size_t>(kTilesAtOnce) * channels + 64 / sizeof(T);
}

inline bool has_tiles(int kernel, Plane out) {
  return kernel == 3 && out.channels >= 16 && out.height % 2 == 0 && out.width % 2 == 0;
}

// The weights U (16, inputs, outputs) of those by tap (9, inputs, outputs).
template <class T>
Aligned<T> tile_weights(const Aligned<T>& by_tap) {
  const size_t n = by_tap.size() / 9;
  Aligned<T> to(kTaps * n);
  const auto spread = [](auto a, auto b, auto c, auto& w, auto& x, auto& y, auto& z) {  // G times a column
    w = a, x = (a + b + c) / 2, y = (a - b + c) / 2, z = c;
  };
  for_lanes<T>(n, [&](auto lanes, int i) {
    constexpr int L = decltype(lanes)::value;
    using V = Vec<T, L>;
    const auto tap = [&](int k) { return load<T, L>(by_tap.data() + k * n + i); };
    V half[4][3], whole[4][4];
    for (int x = 0; x < 3; x++) spread(tap(x), tap(3 + x), tap(6 + x), half[0][x], half[1][x], half[2][x], half[3][x]);
    for (int y = 0; y < 4; y++) spread(half[y][0], half[y][1], half[y][2], whole[y][0], whole[y][1], whole[y][2], whole[y][3]);
    for (int k = 0; k < kTaps; k++) store<T, L>(to.data() + k * n + i, whole[k / 4][k % 4]);
  });
  return to;
}

// Bᵀ d B of `count` tiles from tile `first` on, as (16, count, channels).
template <class T>
void into_tiles(const T* padded, Plane out, int first, int count, T* to) {
  const int channels = out.channels, row = (out.width + 2) * channels, per_line = out.width / 2;
  const size_t step = tap_step<T>(channels);
  for (int tile = 0; tile < count; tile++) {
    const T* from = padded + 2 * ((first + tile) / per_line * row + (first + tile) % per_line * channels);
    for_lanes<T>(channels, [&](auto lanes, int c) {
      constexpr int L = decltype(lanes)::value;
      using V = Vec<T, L>;
      V half[4][4];
#pragma GCC unroll 4
      for (int x = 0; x < 4; x++) {
        const T* at = from + x * channels + c;
        const V a = load<T, L>(at), b = load<T, L>(at + row), d = load<T, L>(at + 2 * row), e = load<T, L>(at + 3 * row);
        half[0][x] = a - d, half[1][x] = b + d, half[2][x] = d - b, half[3][x] = b - e;
      }
      T* at = to + static_cast<size_t>(tile) * channels + c;
#pragma GCC unroll 4
      for (int y = 0; y < 4; y++, at += 4 * step) {
        store<T, L>(at, half[y][0] - half[y][2]);
        store<T, L>(at + step, half[y][1] + half[y][2]);
        store<T, L>(at + 2 * step, half[y][2] - half[y][1]);
        store<T, L>(at + 3 * step, half[y][1] - half[y][3]);
      }
    });
  }
}

// The pixels Aᵀ m A of `count` tiles m, (16, count, channels), from tile `first` on.
template <class T>
void out_of_tiles(const T* from, Plane out, int first, int count, T* to) {
  const int channels = out.channels, row = out.width * channels, per_line = out.width / 2;
  const size_t step = tap_step<T>(channels);
  for (int tile = 0; tile < count; tile++) {
    T* pixel = to + 2 * ((first + tile) / per_line * row + (first + tile) % per_line * channels);
    for_lanes<T>(channels, [&](auto lanes, int c) {
      constexpr int L = decltype(lanes)::value;
      using V = Vec<T, L>;
      V half[2][4];
#pragma GCC unroll 4
      for (int x = 0; x < 4; x++) {
        const T* at = from + static_cast<size_t>(tile) * channels + c + x * step;
        const V a = load<T, L>(at), b = load<T, L>(at + 4 * step), d = load<T, L>(at + 8 * step), e = load<T, L>(at + 12 * step);
        half[0][x] = a + b + d, half[1][x] = b - d - e;
      }
#pragma GCC unroll 2
      for (int y = 0; y < 2; y++) {
        T* at = pixel + y * row + c;
        store<T, L>(at, half[y][0] + half[y][1] + half[y][2]);
        store<T, L>(at + channels, half[y][1] - half[y][2] - half[y][3]);
      }
    });
  }
}

// A y Aᵀ of `count` tiles of a gradient y, whose lines have `row` elements, as `into_tiles` has them.
template <class T>
void gradient_into_tiles(const T* g, int row, Plane out, int first, int count, T* to) {
  const int channels = out.channels, per_line = out.width / 2;
  const size_t step = tap_step<T>(channels);
  for (int tile = 0; tile < count; tile++) {
    const T* from = g + 2 * ((first + tile) / per_line * row + (first + tile) % per_line * channels);
    for_lanes<T>(channels, [&](auto lanes, int c) {
      constexpr int L = decltype(lanes)::value;
      using V = Vec<T, L>;
      V half[4][2];
#pragma GCC unroll 2
      for (int x = 0; x < 2; x++) {
        const V a = load<T, L>(from + x * channels + c), b = load<T, L>(from + row + x * channels + c);
        half[0][x] = a, half[1][x] = a + b, half[2][x] = a - b, half[3][x] = -b;
      }
      T* at = to + static_cast<size_t>(tile) * channels + c;
#pragma GCC unroll 4
      for (int y = 0; y < 4; y++, at += 4 * step) {
        store<T, L>(at, half[y][0]);
        store<T, L>(at + step, half[y][0] + half[y][1]);
        store<T, L>(at + 2 * step, half[y][0] - half[y][1]);
        store<T, L>(at + 3 * step, -half[y][1]);
      }
    });
  }
}

// sums (16, inputs, outputs) += Bᵀ d B · A y Aᵀ over the tiles of an image, of its padded input and
// of the gradient of its output, whose lines are as long.
template <class T>
void tile_weight_sums(const T* padded, const T* g, Plane out, T* sums, Aligned<T>& scratch) {
  const int channels = out.channels, row = (out.width + 2) * channels, tiles = out.height * out.width / 4;
  const size_t step = tap_step<T>(channels);
  scratch.resize(2 * kTaps * step);
  T *inputs = scratch.data(), *gradients = inputs + kTaps * step;
  for (int first = 0; first < tiles; first += kTilesAtOnce) {
    const int count = std::min(kTilesAtOnce, tiles - first);
    into_tiles<T>(padded, out, first, count, inputs);
    gradient_into_tiles<T>(g, row, out, first, count, gradients);
    for (int k = 0; k < kTaps; k++)
      dense_weights<T>(inputs + k * step, 0, channels, 1, gradients + k * step, 0, {1, count, channels},
                          sums + static_cast<size_t>(k) * channels * channels);
  }
}

// The gradient of the weights by tap, Gᵀ s G, of such sums.
template <class T>
Aligned<T> of_tile_sums(const Aligned<T>& sums) {
  const size_t n = sums.size() / kTaps;
  Aligned<T> to(9 * n);
  for_lanes<T>(n, [&](auto lanes, int i) {
    constexpr int L = decltype(lanes)::value;
    using V = Vec<T, L>;
    const auto tap = [&](int k) { return load<T, L>(sums.data() + k * n + i); };
    V half[3][4];
    for (int x = 0; x < 4; x++) {
      const V plus = (tap(4 + x) + tap(8 + x)) / 2, minus = (tap(4 + x) - tap(8 + x)) / 2;
      half[0][x] = tap(x) + plus, half[1][x] = minus, half[2][x] = plus + tap(12 + x);
    }
    for (int y = 0; y < 3; y++) {
      const V plus = (half[y][1] + half[y][2]) / 2, minus = (half[y][1] - half[y][2]) / 2;
      T* at = to.data() + 3 * y * n + i;
      store<T, L>(at, half[y][0] + plus);
      store<T, L>(at + n, minus);
      store<T, L>(at + 2 * n, plus + half[y][3]);
    }
  });
  return to;
}

// A dense convolution of stride 1 of padded images with `inputs` channels.
template <class T>
class Dense {
 public:
  // The weights are by tap.
  Dense(Aligned<T> weights, int inputs, int kernel, Plane out)
      : inputs_(inputs), kernel_(kernel), out_(out), tiled_(has_tiles(kernel, out)), weights_(tiled_ ? tile_weights<T>(weights) : std::move(weights)) {}

  // One image; `scratch` is the thread's own.
  void operator()(const T* padded, T* to, Aligned<T>& scratch) const {
    if (!tiled_) return dense<T>(padded, inputs_, kernel_, weights_.data(), out_, to);
    const int channels = out_.channels, tiles = out_.height * out_.width / 4;
    const size_t step = tap_step<T>(channels);
    scratch.resize(2 * kTaps * step);
    T *inputs = scratch.data(), *outputs = inputs + kTaps * step;
    for (int first = 0; first < tiles; first += kTilesAtOnce) {
      const int count = std::min(kTilesAtOnce, tiles - first);
      into_tiles<T>(padded, out_, first, count, inputs);
      for (int k = 0; k < kTaps; k++)
        dense<T>(inputs + k * step, channels, 1, weights_.data() + static_cast<size_t>(k) * channels * channels,
                    {1, count, channels}, outputs + k * step);
      out_of_tiles<T>(outputs, out_, first, count, to);
    }
  }

  // A pointwise one, of some lines of an image.
  void lines(const T* from, int lines, T* to) const {
    dense<T>(from, inputs_, 1, weights_.data(), {lines, out_.width, out_.channels}, to);
  }

 private:
  int inputs_, kernel_;
  Plane out_;
  bool tiled_;
  Aligned<T> weights_;
};

}  // namespace tune_nas
