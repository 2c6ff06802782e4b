// The convolutions of a stage of one image: its sizes, its weights as the kernels read them.
#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>

#include "lanes.h"
#include "norm.h"
#include "tiles.h"
#include "winograd.h"

namespace tune_nas {

using at::Tensor;

// Weights as the kernels read them: (taps, inputs, outputs). `back` returns those of the transposed
// convolution: the window is reversed, and inputs and outputs are swapped. A depthwise
// weight has one input, and is (taps, channels) in either case.
template <class T>
Aligned<T> by_tap(const Tensor& weight, bool back) {
  const int64_t taps = weight.size(2) * weight.size(3), outputs = weight.size(0), inputs = weight.size(1);
  const int64_t along_outputs = weight.stride(0), along_inputs = weight.stride(1);
  Aligned<T> to(weight.numel());
  T* at = to.data();
  for (int64_t k = 0; k < taps; k++) {
    const int64_t tap = back ? taps - 1 - k : k;
    const T* from = weight.const_data_ptr<T>() + tap / weight.size(3) * weight.stride(2) + tap % weight.size(3) * weight.stride(3);
    if (back)
      for (int64_t o = 0; o < outputs; o++)
        for (int64_t i = 0; i < inputs; i++) *at++ = from[o * along_outputs + i * along_inputs];
    else
      for (int64_t i = 0; i < inputs; i++)
        for (int64_t o = 0; o < outputs; o++) *at++ = from[o * along_outputs + i * along_inputs];
  }
  return to;
}

struct Shape {
  Plane in, out;
  int border, kernel, dense_kernel, stride, dilation;
  Plane padded() const { return with_border(in); }
  Plane with_border(Plane plane) const { return {plane.height + 2 * border, plane.width + 2 * border, plane.channels}; }
  // Lines that are computed at a time: whole blocks of sums, which stay in the cache.
  static int band(Plane plane) {
    const int64_t narrow = plane.channels < 16 ? 32 / plane.channels : 1;
    return std::min<int64_t>(plane.height, narrow * kPixelsInASum / std::gcd(kPixelsInASum, int64_t(plane.width)));
  }
};

inline Shape shape_of(Plane in, const OptionalTensor& depthwise, const Tensor& dense, int64_t dilation, int64_t stride) {
  TORCH_CHECK(dense.size(0) == in.channels && dense.size(1) == in.channels, "a dense weight has the channels of x");
  TORCH_CHECK(depthwise || stride == 1, "a stage without a depthwise convolution has stride 1");
  Shape s;
  s.in = in;
  s.dense_kernel = dense.size(2);
  s.kernel = depthwise ? depthwise->size(2) : dense.size(2);
  TORCH_CHECK(!depthwise || s.dense_kernel == 1, "a depthwise convolution is followed by a pointwise one");
  TORCH_CHECK(!depthwise || s.kernel == 3 || s.kernel == 5, "a depthwise kernel is of 3 or 5");
  TORCH_CHECK(!depthwise || dilation == 1 || dilation == 2, "a depthwise convolution has a dilation of 1 or 2");
  s.dilation = depthwise ? dilation : 1;
  s.stride = stride;
  s.border = s.dilation * (s.kernel / 2);
  s.out = {(s.in.height - 1) / s.stride + 1, (s.in.width - 1) / s.stride + 1, s.in.channels};
  return s;
}

inline Plane plane_of(const Tensor& x) { return {int(x.size(2)), int(x.size(3)), int(x.size(1))}; }

// Calls f with a stage's kernel, `stride` and dilation as numbers that the compiler knows.
template <class F>
void with_window(const Shape& s, int stride, F f) {
  const auto with_dilation = [&](auto kernel, auto step) {
    if (s.dilation == 1) f(kernel, step, std::integral_constant<int, 1>{});
    else f(kernel, step, std::integral_constant<int, 2>{});
  };
  const auto with_stride = [&](auto kernel) {
    if (stride == 1) with_dilation(kernel, std::integral_constant<int, 1>{});
    else with_dilation(kernel, std::integral_constant<int, 2>{});
  };
  if (s.kernel == 3) with_stride(std::integral_constant<int, 3>{});
  else with_stride(std::integral_constant<int, 5>{});
}

// `depthwise` with the window of a stage; stage.cpp compiles it.
template <class T>
void run_depthwise(const Shape& s, int stride, Plane out, const T* padded, const T* weight, T* to) {
  const int row = s.padded().width * s.in.channels;
  with_window(s, stride, [&](auto k, auto step, auto d) {
    depthwise<T, decltype(k)::value, decltype(step)::value, decltype(d)::value>(padded, row, weight, out, to);
  });
}

extern template void run_depthwise<float>(const Shape&, int, Plane, const float*, const float*, float*);
extern template void run_depthwise<double>(const Shape&, int, Plane, const double*, const double*, double*);

// Asks for `lines` lines of an image, of `n`, from line i on.
template <class T>
inline void fetch_lines(const T* image, size_t size, int i, int lines, int n) {
  fetch(image + size / n * i, size / n * lines);
}

// The convolutions of a stage, image by image.
template <class T>
class Convolutions {
 public:
  struct Buffers {
    Aligned<T> middle, scratch;
  };

  Convolutions(const Shape& shape, const OptionalTensor& depthwise, const Tensor& dense)
      : s(shape), separable_(depthwise.has_value()), band_(separable_ ? Shape::band(s.out) : s.out.height),
        dense_(by_tap<T>(dense, false), s.in.channels, s.dense_kernel, {band_, s.out.width, s.out.channels}),
        taps_(separable_ ? by_tap<T>(*depthwise, false) : Aligned<T>()) {}

  // relu(x), or relu(scale · x + shift) with `normal`, the two one after the other, inside a border.
  const T* padded(const T* x, const Aligned<T>& normal, Aligned<T>& to) const {
    to.resize(s.padded().size());
    pad<T>(x, s.in, normal.empty() ? nullptr : normal.data(), normal.empty() ? nullptr : normal.data() + s.in.channels, s.border, to.data());
    return to.data();
  }

  // The convolutions of a padded image, some lines at a time: they are written to place(first line),
  // then done(first line, lines, place) is called while they are in the cache.
  template <class Place, class Done>
  void operator()(const T* padded, Buffers& buffers, Place place, Done done) const {
    if (!separable_) {
      T* to = place(0);
      dense_(padded, to, buffers.scratch);
      return done(0, s.out.height, to);
    }
    const int row = s.padded().width * s.in.channels;
    buffers.middle.resize(band_ * s.out.width * s.in.channels);
    for (int i = 0; i < s.out.height; i += band_) {
      const int lines = std::min(band_, s.out.height - i);
      run_depthwise<T>(s, s.stride, {lines, s.out.width, s.in.channels}, padded + i * s.stride * row, taps_.data(), buffers.middle.data());
      T* to = place(i);
      dense_.lines(buffers.middle.data(), lines, to);
      done(i, lines, to);
    }
  }

  int band() const { return band_; }

  const Shape s;

 private:
  bool separable_;
  int band_;
  Dense<T> dense_;
  Aligned<T> taps_;
};

}  // namespace tune_nas
