// Sums of pointwise convolutions for four channels, with vectors of sixteen: 36 channels are two vectors
// and these. The sums are those of tiles.h, in the same order. For AVX-512 and float alone.
#pragma once

#if defined(__AVX512F__)
#include "lanes.h"

namespace tune_nas {

// The last four outputs of a pointwise convolution: a vector holds those of four pixels. The sums are
// those of `dense_tile`, in the same order.
template <int J>
inline void add_product(const __m512 (&x)[8], const float* weight, __m512 (&sum)[8]) {
  const __m512 part = _mm512_broadcast_f32x4(_mm_loadu_ps(weight));
#pragma GCC unroll 8
  for (int k = 0; k < 8; k++) sum[k] = _mm512_fmadd_ps(part, _mm512_permute_ps(x[k], J * 0x55), sum[k]);
}

// All whole tiles of 32 pixels; returns where it came to.
inline int dense_fours(const float* from, int inputs, int outputs, const float* weight, int pixels, float* to) {
  int first = 0;
  for (; first + 32 <= pixels; first += 32) {
    __m512 sum[8] = {};
    const float *in = from + static_cast<size_t>(first) * inputs, *w = weight;
    for (int c = 0; c < inputs; c += 4, in += 4, w += 4 * outputs) {
      __m512 x[8];
      const float* at = in;
#pragma GCC unroll 8
      for (int k = 0; k < 8; k++, at += 4 * inputs) {
        x[k] = _mm512_castps128_ps512(_mm_loadu_ps(at));
        x[k] = _mm512_insertf32x4(x[k], _mm_loadu_ps(at + inputs), 1);
        x[k] = _mm512_insertf32x4(x[k], _mm_loadu_ps(at + 2 * inputs), 2);
        x[k] = _mm512_insertf32x4(x[k], _mm_loadu_ps(at + 3 * inputs), 3);
      }
      add_product<0>(x, w, sum);
      add_product<1>(x, w + outputs, sum);
      add_product<2>(x, w + 2 * outputs, sum);
      add_product<3>(x, w + 3 * outputs, sum);
    }
    float* out = to + static_cast<size_t>(first) * outputs;
    for (int k = 0; k < 8; k++, out += 4 * outputs) {
      _mm_storeu_ps(out, _mm512_castps512_ps128(sum[k]));
      _mm_storeu_ps(out + outputs, _mm512_extractf32x4_ps(sum[k], 1));
      _mm_storeu_ps(out + 2 * outputs, _mm512_extractf32x4_ps(sum[k], 2));
      _mm_storeu_ps(out + 3 * outputs, _mm512_extractf32x4_ps(sum[k], 3));
    }
  }
  return first;
}

// The gradient of the weights to four outputs likewise: a vector holds those from four inputs.
template <int G, bool begun>
inline void dense_weights_fours(const float* padded, int row, int inputs, const float* g, int g_row, Plane out,
                                float* gradient) {
  const __m512i fours = _mm512_set_epi32(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0);
  const auto place = [&](int k) { return gradient + static_cast<size_t>(4 * k) * out.channels; };
  __m512 before[G], sum[G] = {};
  for (int k = 0; k < G; k++) {
    before[k] = _mm512_castps128_ps512(_mm_loadu_ps(place(k)));
    before[k] = _mm512_insertf32x4(before[k], _mm_loadu_ps(place(k) + out.channels), 1);
    before[k] = _mm512_insertf32x4(before[k], _mm_loadu_ps(place(k) + 2 * out.channels), 2);
    before[k] = _mm512_insertf32x4(before[k], _mm_loadu_ps(place(k) + 3 * out.channels), 3);
    if (begun) sum[k] = before[k];
  }
  for (int y = 0; y < out.height; y++) {
    const float* in = padded + static_cast<size_t>(y) * row;
    const float* from = g + static_cast<size_t>(y) * g_row;
    for (int x = 0; x < out.width; x++, in += inputs, from += out.channels) {
      const __m512 part = _mm512_broadcast_f32x4(_mm_loadu_ps(from));
#pragma GCC unroll 9
      for (int k = 0; k < G; k++)
        sum[k] = _mm512_fmadd_ps(part, _mm512_permutexvar_ps(fours, _mm512_castps128_ps512(_mm_loadu_ps(in + 4 * k))), sum[k]);
    }
  }
  for (int k = 0; k < G; k++) {
    if (!begun) sum[k] = before[k] + sum[k];
    _mm_storeu_ps(place(k), _mm512_castps512_ps128(sum[k]));
    _mm_storeu_ps(place(k) + out.channels, _mm512_extractf32x4_ps(sum[k], 1));
    _mm_storeu_ps(place(k) + 2 * out.channels, _mm512_extractf32x4_ps(sum[k], 2));
    _mm_storeu_ps(place(k) + 3 * out.channels, _mm512_extractf32x4_ps(sum[k], 3));
  }
}

}  // namespace tune_nas
#endif
