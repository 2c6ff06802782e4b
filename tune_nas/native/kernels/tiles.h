// Sums over a window of one image, the building blocks of the stages.
//
// Images are NHWC; T is float or double.
#pragma once

#include <cstring>

#include "fours.h"
#include "lanes.h"
#include "narrow.h"

namespace tune_nas {

template <class T, int L>
inline Vec<T, L> relu(Vec<T, L> v) {
  const Vec<T, L> zero = {};
  return v < zero ? zero : v;  // like torch: NaN stays NaN
}

// out = relu(scale · x + shift), or relu(x) where scale is null, inside a border of zeros.
template <class T>
void pad(const T* x, Plane in, const T* scale, const T* shift, int border, T* out) {
  const int row = (in.width + 2 * border) * in.channels;
  const int count = scale ? pixels_in_vectors<T>(in.channels, in.width) : 1, channels = count * in.channels;
  alignas(64) T wide[2 * kMostInVectors<T>];
  if (count > 1) repeat(scale, 1, in.channels, count, wide), repeat(shift, 1, in.channels, count, wide + channels);
  std::memset(out, 0, sizeof(T) * border * row);
  std::memset(out + static_cast<size_t>(border + in.height) * row, 0, sizeof(T) * border * row);
  for (int y = 0; y < in.height; y++) {
    T* to = out + static_cast<size_t>(border + y) * row;
    std::memset(to, 0, sizeof(T) * border * in.channels);
    std::memset(to + (border + in.width) * in.channels, 0, sizeof(T) * border * in.channels);
    to += border * in.channels;
    const T* from = x + static_cast<size_t>(y) * in.width * in.channels;
    if (!scale) {
      for_lanes<T>(in.width * in.channels, [&](auto lanes, int i) {
        constexpr int L = decltype(lanes)::value;
        store<T, L>(to + i, relu<T, L>(load<T, L>(from + i)));
      });
      continue;
    }
    const T *by_channel = count > 1 ? wide : scale, *shifts = count > 1 ? wide + channels : shift;
    for_lanes<T>(channels, [&](auto lanes, int c) {
      constexpr int L = decltype(lanes)::value;
      const Vec<T, L> a = load<T, L>(by_channel + c), b = load<T, L>(shifts + c);
      for (int i = c; i < in.width * in.channels; i += channels)
        store<T, L>(to + i, relu<T, L>(load<T, L>(from + i) * a + b));
    });
  }
}

// Sizes known to the compiler: C inputs, as many outputs, and a window of K; 0 if unknown.
template <int C, int K>
struct Window {
  static constexpr bool pointwise = K == 1;  // known to be; its pixels lie one after the other
  int inputs_, outputs_, kernel_;
  int inputs() const { return C ? C : inputs_; }
  int outputs() const { return C ? C : outputs_; }
  int kernel() const { return K ? K : kernel_; }
};

// With 16 registers, keeps several vectors in them: the compiler reads each from memory again for every
// product. Not measured with 32.
template <class T, int L, int V>
inline void all_in_registers(Vec<T, L> (&v)[V]) {
  if constexpr (kPixels == 4 && V > 1) {
#pragma GCC unroll 2
    for (int i = 0; i < V; i++) {
      Vec<T, L> kept = v[i];  // an element of the array would be stored as well
      in_register<T, L>(kept);
      v[i] = kept;
    }
  }
}

// P pixels and V · L outputs of a dense convolution; `from` has a pixel's window each, `weight` is
// (K, K, inputs, outputs).
template <class T, int L, int V, int P, class W>
inline void dense_tile(const T* const (&from)[P], int row, W window, const T* weight, T* out) {
  const int inputs = window.inputs(), outputs = window.outputs();
  Vec<T, L> sum[P][V] = {};
  for (int ky = 0; ky < window.kernel(); ky++)
    for (int kx = 0; kx < window.kernel(); kx++) {
      const ptrdiff_t at = static_cast<ptrdiff_t>(ky) * row + kx * inputs;
      const T* w = weight + static_cast<size_t>(ky * window.kernel() + kx) * inputs * outputs;
#pragma GCC unroll 8
      for (int c = 0; c < inputs; c++, w += outputs) {
        Vec<T, L> part[V];
        for (int v = 0; v < V; v++) part[v] = load<T, L>(w + v * L);
        all_in_registers<T, L, V>(part);
        for (int p = 0; p < P; p++)
          for (int v = 0; v < V; v++) sum[p][v] += part[v] * from[p][at + c];
      }
    }
  for (int p = 0; p < P; p++)
    for (int v = 0; v < V; v++) store<T, L>(out + static_cast<size_t>(p) * outputs + v * L, sum[p][v]);
}

// All whole tiles of P pixels from pixel `first` on, over the ends of lines; returns where it came to.
template <class T, int L, int V, int P, class W>
inline int dense_tiles(const T* padded, int row, W window, const T* weight, Plane out, int first, T* to) {
  const int pixels = out.height * out.width;
  int y = first / out.width, x = first % out.width;
  for (; first + P <= pixels; first += P) {
    const T* from[P];
    for (int p = 0; p < P; p++) {
      if constexpr (W::pointwise) {
        from[p] = padded + static_cast<size_t>(first + p) * window.inputs();
      } else {
        from[p] = padded + static_cast<size_t>(y) * row + x * window.inputs();
        if (++x == out.width) x = 0, y++;
      }
    }
    dense_tile<T, L, V, P>(from, row, window, weight, to + static_cast<size_t>(first) * window.outputs());
  }
  return first;
}

template <class T, int L, int V, class W>
inline void dense_columns(const T* padded, int row, W window, const T* weight, Plane out, T* to) {
  constexpr int P = V == 1 ? 8 : kPixels;
  int first = 0;
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<T, float> && L == 4 && V == 1)
    if (window.kernel() == 1) first = dense_fours(padded, window.inputs(), window.outputs(), weight, out.height * out.width, to);
#endif
  first = dense_tiles<T, L, V, P>(padded, row, window, weight, out, first, to);
  dense_tiles<T, L, V, 1>(padded, row, window, weight, out, first, to);
}

template <class T, class W>
void dense_of(const T* padded, W window, const T* weight, Plane out, T* to) {
  const int row = (out.width + window.kernel() - 1) * window.inputs();
  for_pairs_of_lanes<T>(window.outputs(), [&](auto lanes, auto vectors, int o) {
    dense_columns<T, decltype(lanes)::value, decltype(vectors)::value>(padded, row, window, weight + o, out, to + o);
  });
}

// Dense convolution of stride 1 of a padded image; `out` is not padded. With few channels the
// loop is twice as fast if the compiler knows their number; with 36 and 72, those of the papers'
// networks, a tenth or two faster. Of others it knows that a pointwise window is one pixel.
template <class T>
void dense(const T* padded, int inputs, int kernel, const T* weight, Plane out, T* to) {
#if TUNE_NAS_SHUFFLES
  if (kernel == 1 && inputs == out.channels && is_narrow_product<T>(inputs)) {
    const int pixels = out.height * out.width, done = narrow_product(padded, inputs, weight, pixels, to);
    if (done == pixels) return;
    padded += done * inputs, to += done * inputs, out = {1, pixels - done, inputs};
  }
#endif
  const auto of = [&](auto window) { dense_of<T>(padded, window, weight, out, to); };
  const auto of_channels = [&](auto channels) {
    if (kernel == 1) of(Window<decltype(channels)::value, 1>{});
    else of(Window<decltype(channels)::value, 3>{});
  };
  if (inputs != out.channels || (kernel != 1 && kernel != 3)) of(Window<0, 0>{inputs, out.channels, kernel});
  else if (inputs == 4) of_channels(std::integral_constant<int, 4>{});
  else if (inputs == 8) of_channels(std::integral_constant<int, 8>{});
  else if (inputs == 16) of_channels(std::integral_constant<int, 16>{});
  else if (inputs == 32) of_channels(std::integral_constant<int, 32>{});
  else if (kernel == 1 && inputs == 36) of(Window<36, 1>{});
  else if (kernel == 1 && inputs == 72) of(Window<72, 1>{});
  else if (kernel == 1) of(Window<0, 1>{inputs, out.channels, 1});
  else of(Window<0, 0>{inputs, out.channels, kernel});
}

// gradient (K, K, inputs, outputs) += sum over pixels of padded input · gradient of the output;
// `row` and `g_row` are the elements of a line of each. With `begun` each sum continues from the
// gradient; otherwise it starts at 0 and is added to it.
template <class T, int L, int V, int B, bool begun>
inline void dense_weights_tile(const T* padded, int row, int inputs, const T* g, int g_row, Plane out,
                               T* gradient) {
  Vec<T, L> sum[B][V] = {};
  const auto place = [&](int b, int v) { return gradient + static_cast<size_t>(b) * out.channels + v * L; };
  for (int b = 0; begun && b < B; b++)
    for (int v = 0; v < V; v++) sum[b][v] = load<T, L>(place(b, v));
  for (int y = 0; y < out.height; y++) {
    const T* in = padded + static_cast<size_t>(y) * row;
    const T* from = g + static_cast<size_t>(y) * g_row;
#pragma GCC unroll 2
    for (int x = 0; x < out.width; x++, in += inputs, from += out.channels) {
      Vec<T, L> part[V];
      for (int v = 0; v < V; v++) part[v] = load<T, L>(from + v * L);
      all_in_registers<T, L, V>(part);
      for (int b = 0; b < B; b++)
        for (int v = 0; v < V; v++) sum[b][v] += part[v] * in[b];
    }
  }
  for (int b = 0; b < B; b++)
    for (int v = 0; v < V; v++) store<T, L>(place(b, v), begun ? sum[b][v] : load<T, L>(place(b, v)) + sum[b][v]);
}

template <class T, int L, int V, bool begun>
inline void dense_weights_column(const T* in, int row, int inputs, const T* g, int g_row, Plane out,
                                 T* gradient) {
  constexpr int B = V == 1 ? 8 : kPixels;
  int c = 0;
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<T, float> && L == 4 && V == 1) {
    for (; c + 36 <= inputs; c += 36)
      dense_weights_fours<9, begun>(in + c, row, inputs, g, g_row, out, gradient + static_cast<size_t>(c) * out.channels);
    for (; c + 16 <= inputs; c += 16)
      dense_weights_fours<4, begun>(in + c, row, inputs, g, g_row, out, gradient + static_cast<size_t>(c) * out.channels);
  }
#endif
  for (; c + B <= inputs; c += B)
    dense_weights_tile<T, L, V, B, begun>(in + c, row, inputs, g, g_row, out, gradient + static_cast<size_t>(c) * out.channels);
  for (; c < inputs; c += 4)
    dense_weights_tile<T, L, V, 4, begun>(in + c, row, inputs, g, g_row, out, gradient + static_cast<size_t>(c) * out.channels);
}

template <class T, bool begun = false>
void dense_weights(const T* padded, int row, int inputs, int kernel, const T* g, int g_row, Plane out,
                   T* gradient) {
#if TUNE_NAS_SHUFFLES
  const int line = out.width * inputs;
  if (kernel == 1 && inputs == out.channels && is_narrow_product<T>(inputs) && (out.height == 1 || (row == line && g_row == line))) {
    const int pixels = out.height * out.width, done = narrow_product_weights(padded, inputs, g, pixels, gradient);
    if (done == pixels) return;
    padded += done * inputs, g += done * inputs, out = {1, pixels - done, inputs};
  }
#endif
  for (int ky = 0; ky < kernel; ky++)
    for (int kx = 0; kx < kernel; kx++) {
      const T* in = padded + static_cast<size_t>(ky) * row + kx * inputs;
      T* to = gradient + static_cast<size_t>(ky * kernel + kx) * inputs * out.channels;
      for_pairs_of_lanes<T>(out.channels, [&](auto lanes, auto vectors, int o) {
        dense_weights_column<T, decltype(lanes)::value, decltype(vectors)::value, begun>(in, row, inputs, g + o, g_row, out, to + o);
      });
    }
}

// P outputs side by side of a depthwise convolution: each column of a line is loaded once for all
// the outputs that it is a part of.
template <class T, int L, int K, int S, int D, int P>
inline void depthwise_tile(const T* in, int row, const T* weight, int channels, T* out) {
  Vec<T, L> sum[P] = {};
#pragma GCC unroll 5
  for (int ky = 0; ky < K; ky++) {
    Vec<T, L> w[K];
#pragma GCC unroll 5
    for (int kx = 0; kx < K; kx++) w[kx] = load<T, L>(weight + (ky * K + kx) * channels);
#pragma GCC unroll 32
    for (int j = 0; j <= (P - 1) * S + (K - 1) * D; j++) {
      Vec<T, L> column = load<T, L>(in + ky * D * row + j * channels);
      in_register<T, L>(column);
#pragma GCC unroll 5
      for (int kx = 0; kx < K; kx++) {
        const int p = (j - kx * D) / S;
        if (j >= kx * D && p * S + kx * D == j && p < P) sum[p] += w[kx] * column;
      }
    }
  }
#pragma GCC unroll 8
  for (int p = 0; p < P; p++) store<T, L>(out + p * channels, sum[p]);
}

// Two lines of P outputs of a window of 3 likewise, with all of its weights in registers: what both
// lines read is loaded once.
template <class T, int L, int P>
inline void depthwise_two_lines(const T* in, int row, const T* weight, int channels, T* out, int line) {
  Vec<T, L> sum[2][P] = {}, w[3][3];
#pragma GCC unroll 9
  for (int k = 0; k < 9; k++) w[k / 3][k % 3] = load<T, L>(weight + k * channels);
#pragma GCC unroll 4
  for (int y = 0; y < 4; y++)
#pragma GCC unroll 16
    for (int j = 0; j < P + 2; j++) {
      Vec<T, L> column = load<T, L>(in + y * row + j * channels);
      in_register<T, L>(column);
#pragma GCC unroll 2
      for (int r = 0; r < 2; r++)
#pragma GCC unroll 3
        for (int kx = 0; kx < 3; kx++)
          if (y - r >= 0 && y - r < 3 && j >= kx && j - kx < P) sum[r][j - kx] += w[y - r][kx] * column;
    }
#pragma GCC unroll 2
  for (int r = 0; r < 2; r++)
#pragma GCC unroll 8
    for (int p = 0; p < P; p++) store<T, L>(out + r * line + p * channels, sum[r][p]);
}

// Depthwise convolution of a padded image of `row` elements a line; K taps a side, stride S,
// dilation D. weight: (K, K, channels).
template <class T, int K, int S, int D>
void depthwise(const T* padded, int row, const T* weight, Plane out, T* to) {
  const int channels = out.channels;
  if constexpr (S == 1)
    if (is_narrow<T>(channels)) return narrow_depthwise<T, K, D>(padded, row, weight, out, to);
  for_lanes<T>(channels, [&](auto lanes, int c) {
    constexpr int L = decltype(lanes)::value;
    const int line_step = out.width * channels;
    int y = 0;
    if constexpr (K == 3 && S == 1 && D == 1 && kPixels == 8)  // 32 registers
      for (const int end = out.width % 8 == 0 ? out.height / 2 * 2 : 0; y < end; y += 2)
        for (int x = 0; x < out.width; x += 8)
          depthwise_two_lines<T, L, 8>(padded + static_cast<size_t>(y) * row + x * channels + c, row, weight + c, channels, to + static_cast<size_t>(y) * line_step + x * channels + c, line_step);
    for (; y < out.height; y++) {
      const T* in = padded + static_cast<size_t>(y) * S * row + c;
      T* line = to + static_cast<size_t>(y) * line_step + c;
      int x = 0;
      for (; x + 8 <= out.width; x += 8)
        depthwise_tile<T, L, K, S, D, 8>(in + x * S * channels, row, weight + c, channels, line + x * channels);
      for (; x + 4 <= out.width; x += 4)
        depthwise_tile<T, L, K, S, D, 4>(in + x * S * channels, row, weight + c, channels, line + x * channels);
      for (; x < out.width; x++)
        depthwise_tile<T, L, K, S, D, 1>(in + x * S * channels, row, weight + c, channels, line + x * channels);
    }
  });
}

// R lines of a window: their sums over P pixels, a column loaded once for all of its taps.
template <class T, int L, int K, int S, int D, int R, int P>
inline void depthwise_weights_tile(const T* in, int row, const T* g, int step, int channels,
                                   Vec<T, L> (&sum)[R][K]) {
  Vec<T, L> gradient[P];
#pragma GCC unroll 8
  for (int p = 0; p < P; p++) gradient[p] = load<T, L>(g + p * step);
#pragma GCC unroll 3
  for (int r = 0; r < R; r++)
#pragma GCC unroll 32
    for (int j = 0; j <= (P - 1) * S + (K - 1) * D; j++) {
      Vec<T, L> column = load<T, L>(in + r * D * row + j * channels);
      in_register<T, L>(column);
#pragma GCC unroll 5
      for (int kx = 0; kx < K; kx++) {
        const int p = (j - kx * D) / S;
        if (j >= kx * D && p * S + kx * D == j && p < P) sum[r][kx] += gradient[p] * column;
      }
    }
}

// R lines of the window of `depthwise_weights`; each sum continues from the gradient.
template <class T, int L, int K, int S, int D, int R, int P>
inline void depthwise_weights_lines(const T* in, int row, const T* g, int g_row, int step, Plane out, T* gradient) {
  const int channels = out.channels;
  Vec<T, L> sum[R][K];
  for (int r = 0; r < R; r++)
    for (int kx = 0; kx < K; kx++) sum[r][kx] = load<T, L>(gradient + (r * K + kx) * channels);
  for (int y = 0; y < out.height; y++, in += static_cast<size_t>(S) * row, g += static_cast<size_t>(step) * g_row) {
    int x = 0;
    for (; x + P <= out.width; x += P)
      depthwise_weights_tile<T, L, K, S, D, R, P>(in + x * S * channels, row, g + x * step * channels, step * channels, channels, sum);
    for (; x < out.width; x++)
      depthwise_weights_tile<T, L, K, S, D, R, 1>(in + x * S * channels, row, g + x * step * channels, step * channels, channels, sum);
  }
  for (int r = 0; r < R; r++)
    for (int kx = 0; kx < K; kx++) store<T, L>(gradient + (r * K + kx) * channels, sum[r][kx]);
}

// gradient (K, K, channels) += sum over pixels of padded input · gradient, which lies on a grid
// with `step` between pixels and `g_row` elements a line.
template <class T, int K, int S, int D>
void depthwise_weights(const T* padded, int row, const T* g, int g_row, int step, Plane out, T* gradient) {
  const int channels = out.channels;
  if constexpr (S == 1)
    if (is_narrow<T>(channels) && step == 1) return narrow_depthwise_weights<T, K, D>(padded, row, g, g_row, out, gradient);
  for_lanes<T>(channels, [&](auto lanes, int c) {
    constexpr int L = decltype(lanes)::value;
    const auto lines = [&](auto count, auto pixels, int ky) {
      depthwise_weights_lines<T, L, K, S, D, decltype(count)::value, decltype(pixels)::value>(
          padded + static_cast<size_t>(ky) * D * row + c, row, g + c, g_row, step, out, gradient + ky * K * channels + c);
    };
    // As many sums as the registers hold; with fewer than 8, an addition would wait for the one before it.
    if constexpr (K == 3) {
      lines(std::integral_constant<int, 3>{}, std::integral_constant<int, 4>{}, 0);
    } else {
      for (int ky = 0; ky + 2 <= K; ky += 2) lines(std::integral_constant<int, 2>{}, std::integral_constant<int, kPixels>{}, ky);
      lines(std::integral_constant<int, 1>{}, std::integral_constant<int, 8>{}, K - 1);
    }
  });
}

// stage.cpp compiles these for all of the kernels.
extern template void dense<float>(const float*, int, int, const float*, Plane, float*);
extern template void dense<double>(const double*, int, int, const double*, Plane, double*);
extern template void dense_weights<float, false>(const float*, int, int, int, const float*, int, Plane, float*);
extern template void dense_weights<double, false>(const double*, int, int, int, const double*, int, Plane, double*);
extern template void dense_weights<float, true>(const float*, int, int, int, const float*, int, Plane, float*);
extern template void dense_weights<double, true>(const double*, int, int, int, const double*, int, Plane, double*);

}  // namespace tune_nas
