// A stage of an operation: [scale and shift ->] ReLU -> [depthwise ->] dense convolution, and the
// sums of batch normalization, image by image while it is in the cache. The backward pass recomputes
// the middle of the stage instead of keeping it.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <numeric>
#include <tuple>
#include <vector>

#include "convolutions.h"
#include "stage.h"

namespace tune_nas {

template void dense<float>(const float*, int, int, const float*, Plane, float*);
template void dense<double>(const double*, int, int, const double*, Plane, double*);
template void dense_weights<float, false>(const float*, int, int, int, const float*, int, Plane, float*);
template void dense_weights<double, false>(const double*, int, int, int, const double*, int, Plane, double*);
template void dense_weights<float, true>(const float*, int, int, int, const float*, int, Plane, float*);
template void dense_weights<double, true>(const double*, int, int, int, const double*, int, Plane, double*);
template void run_depthwise<float>(const Shape&, int, Plane, const float*, const float*, float*);
template void run_depthwise<double>(const Shape&, int, Plane, const double*, const double*, double*);

namespace {

// A gradient laid out as by_tap, laid out as the weight.
template <class T>
void to_weight(const Aligned<T>& by_tap, Tensor weight) {
  const int64_t outputs = weight.size(0), inputs = weight.size(1), taps = weight.size(2) * weight.size(3);
  T* to = weight.data_ptr<T>();
  for (int64_t o = 0; o < outputs; o++)
    for (int64_t i = 0; i < inputs; i++)
      for (int64_t k = 0; k < taps; k++) *to++ = by_tap[(k * inputs + i) * outputs + o];
}

// The sums over threads, of which each has as many elements.
template <class T>
Aligned<T> of_threads(const Aligned<T>& sums, int threads) {
  const size_t n = sums.size() / threads;
  Aligned<T> to(sums.begin(), sums.begin() + n);
  for (size_t at = n; at < sums.size(); at++) to[at % n] += sums[at];
  return to;
}

// From line `first` of the output on.
template <class T>
void run_depthwise_weights(const Shape& s, int first, int lines, const T* padded, const T* g, T* gradient) {
  const int row = s.padded().width * s.in.channels, at = first * s.stride * row;
  const T* from = g + at + s.border * row + s.border * s.in.channels;
  with_window(s, s.stride, [&](auto k, auto step, auto d) {
    constexpr int S = decltype(step)::value;
    depthwise_weights<T, decltype(k)::value, S, decltype(d)::value>(padded + at, row, from, row, S, {lines, s.out.width, s.in.channels}, gradient);
  });
}

}  // namespace

std::tuple<Tensor, Tensor> stage_forward(const Tensor& x, const OptionalTensor& normal,
                                         const OptionalTensor& depthwise_weight, const Tensor& dense_weight,
                                         int64_t dilation, int64_t stride, const Norm& norm) {
  check(x, "x");
  const Shape s = shape_of(plane_of(x), depthwise_weight, dense_weight, dilation, stride);
  const int channels = s.out.channels, line = s.out.width * channels;
  Tensor y = at::empty({x.size(0), channels, (x.size(2) - 1) / stride + 1, (x.size(3) - 1) / stride + 1},
                       x.options().memory_format(at::MemoryFormat::ChannelsLast));
  std::vector<double> sums(at::get_num_threads() * 2 * channels, 0.0);
  with_type(x, [&](auto type) {
    using T = decltype(type);
    const Convolutions<T> run(s, depthwise_weight, dense_weight);
    const Aligned<T> before = affine<T>(normal, 1.0);
    const T* from = x.const_data_ptr<T>();
    T* to = y.data_ptr<T>();
    at::parallel_for(0, x.size(0), 1, [&](int64_t first, int64_t last) {
      typename Convolutions<T>::Buffers buffers;
      Aligned<T> padded;
      double* mine = sums.data() + at::get_thread_num() * 2 * channels;
      for (int64_t n = first; n < last; n++) {
        T* out = to + n * s.out.size();
        run(run.padded(from + n * s.in.size(), before, padded), buffers, [&](int i) { return out + i * line; }, [&](int i, int lines, const T* values) {
          if (n + 1 < last) fetch_lines(from + (n + 1) * s.in.size(), s.in.size(), i, lines, s.out.height);
          if (norm.by_batch) add_sums<T>(values, values, int64_t(lines) * s.out.width, channels, mine);
        });
      }
    });
  });
  return {y, norm.of(over_threads(sums, channels), channels, y.numel() / channels)};
}

namespace {

// to = factor · a · g + b · y + d by channel, inside a border.
template <class T>
void place_gradient(const T* g, const T* y, const T* coefficients, T factor, Plane out, int row, int border, T* to) {
  const int channels = out.channels;
  for (int i = 0; i < out.height; i++)
    for_lanes<T>(channels, [&](auto lanes, int c) {
      constexpr int L = decltype(lanes)::value;
      const Vec<T, L> a = factor * load<T, L>(coefficients + c), b = load<T, L>(coefficients + channels + c),
                      d = load<T, L>(coefficients + 2 * channels + c);
      const size_t line = static_cast<size_t>(i) * out.width * channels + c;
      T* at = to + static_cast<size_t>(i + border) * row + border * channels + c;
      for (int j = 0; j < out.width * channels; j += channels, at += channels)
        store<T, L>(at, a * load<T, L>(g + line + j) + b * load<T, L>(y + line + j) + d);
    });
}

// What comes out of the transposed convolutions, behind the ReLU; its sums alone and with x.
template <class T>
void through_relu(const T* g, const T* x, const T* scale, const T* shift, Plane in, bool add, T* out,
                  T* behind, double* sums) {
  for_lanes<T>(in.channels, [&](auto lanes, int c) {
    constexpr int L = decltype(lanes)::value;
    const Vec<T, L> zero = {};
    const Vec<T, L> a = scale ? load<T, L>(scale + c) : zero + T(1), b = scale ? load<T, L>(shift + c) : zero;
    for (size_t at = c; at < in.size(); at += in.channels) {
      const Vec<T, L> masked = load<T, L>(x + at) * a + b <= zero ? zero : load<T, L>(g + at);
      if (sums) store<T, L>(behind + at, masked);
      store<T, L>(out + at, add ? masked + load<T, L>(out + at) : masked);
    }
  });
  if (sums) add_sums<T>(behind, x, int64_t(in.height) * in.width, in.channels, sums);
}

}  // namespace

std::tuple<Tensor, Tensor, Tensor, Tensor, double> stage_backward(
    const Tensor& g, const Tensor& sums, const Tensor& y, const Tensor& normal, double weight, bool by_batch,
    const Tensor& x, const OptionalTensor& normal_before, const OptionalTensor& depthwise_weight,
    const Tensor& dense_weight, int64_t dilation, int64_t stride, bool weights, Tensor gx, bool add,
    const OptionalTensor& factors) {
  check(x, "x");
  const Shape s = shape_of(plane_of(x), depthwise_weight, dense_weight, dilation, stride);
  check(g, "g");
  check(y, "y");
  check(gx, "gx");
  const bool separable = depthwise_weight.has_value();
  const int channels = s.in.channels, outputs = s.out.channels, threads = at::get_num_threads();
  std::vector<double> sums_before;
  Tensor g_depthwise = at::empty(separable && weights ? depthwise_weight->sizes() : at::IntArrayRef({0}), x.options());
  Tensor g_dense = at::empty(weights ? dense_weight.sizes() : at::IntArrayRef({0}), x.options());
  Tensor g_norm;
  double g_weight = 0;
  with_type(x, [&](auto type) {
    using T = decltype(type);
    const ThroughNorm<T> through =
        through_norm<T>(sums.const_data_ptr<double>(), normal, weight, by_batch, y.numel() / outputs);
    g_norm = through.of_norm, g_weight = through.of_weight;
    const int count = pixels_in_vectors<T>(channels, std::gcd(s.in.width, s.out.width));  // as many pixels as one, likewise below
    sums_before.resize(threads * 2 * channels * count, 0.0);
    const Aligned<T> coefficients = repeated(through.coefficients, outputs, count);
    const T* c3 = coefficients.data();
    const int band = separable ? Shape::band(s.out) : s.out.height, line = s.out.width * outputs, middle_line = s.out.width * channels;
    const Dense<T> back(by_tap<T>(dense_weight, true), outputs, s.dense_kernel, {band, s.out.width, channels});
    const Aligned<T> before = affine<T>(normal_before, 1.0), before_wide = repeated(before, channels, count);
    const Aligned<T> taps = separable ? by_tap<T>(*depthwise_weight, false) : Aligned<T>();
    const Aligned<T> taps_back = separable ? by_tap<T>(*depthwise_weight, true) : Aligned<T>();
    const T *a = normal_before ? before.data() : nullptr, *b = normal_before ? a + channels : nullptr;
    const T *from = x.const_data_ptr<T>(), *gs = g.const_data_ptr<T>(), *ys = y.const_data_ptr<T>();
    const T* by_image = factors ? factors->const_data_ptr<T>() : nullptr;
    T* to = gx.data_ptr<T>();
    const bool tiled = has_tiles(s.dense_kernel, s.out);
    const int64_t n_dense = tiled ? g_dense.numel() / 9 * kTaps : g_dense.numel();
    Aligned<T> dense_all(threads * n_dense, T(0)), taps_all(threads * g_depthwise.numel(), T(0));
    at::parallel_for(0, x.size(0), 1, [&](int64_t first, int64_t last) {
      const int thread = at::get_thread_num();
      const Plane padded = s.padded();
      const int row = padded.width * channels, row_out = padded.width * outputs;
      Aligned<T> input(weights ? padded.size() : 0), spread(separable ? padded.size() : s.with_border(s.out).size(), T(0));
      Aligned<T> gradient(separable ? band * line : 0), middle(separable ? band * middle_line : 0);
      Aligned<T> result(s.in.size()), scratch, dense_image(weights && separable ? n_dense : 0), taps_image(weights ? g_depthwise.numel() : 0);
      const int band_in = Shape::band(s.in), line_in = s.in.width * channels;
      T* dense_mine = dense_all.data() + n_dense * thread;
      T* taps_mine = taps_all.data() + g_depthwise.numel() * thread;
      double* mine = normal_before ? sums_before.data() + thread * 2 * channels * count : nullptr;
      for (int64_t n = first; n < last; n++) {
        const T *gn = gs + n * s.out.size(), *yn = ys + n * s.out.size(), *xn = from + n * s.in.size();
        const T factor = by_image ? by_image[n] : T(1);
        if (weights) pad<T>(xn, s.in, a, b, s.border, input.data());
        if (separable) {
          std::fill(dense_image.begin(), dense_image.end(), T(0));
          std::fill(taps_image.begin(), taps_image.end(), T(0));
          for (int i = 0; i < s.out.height; i += band) {
            const int lines = std::min(band, s.out.height - i);
            if (i + lines < s.out.height || n + 1 < last) {  // the lines after these, perhaps of the next image
              fetch(gn + (i + lines) * line, lines * line);
              fetch(yn + (i + lines) * line, lines * line);
            }
            if (n + 1 < last) fetch_lines(xn + s.in.size(), s.in.size(), i, lines, s.out.height);
            place_gradient<T>(gn + i * line, yn + i * line, c3, factor, {lines, s.out.width / count, outputs * count}, line, 0, gradient.data());
            if (weights) {
              run_depthwise<T>(s, s.stride, {lines, s.out.width, channels}, input.data() + i * s.stride * row, taps.data(), middle.data());
              dense_weights<T, true>(middle.data(), middle_line, channels, 1, gradient.data(), line, {lines, s.out.width, outputs}, dense_image.data());
            }
            back.lines(gradient.data(), lines, middle.data());
            for (int k = 0; k < lines; k++) {
              const T* from_line = middle.data() + k * middle_line;
              T* to_line = spread.data() + static_cast<size_t>((i + k) * s.stride + s.border) * row + s.border * channels;
              if (s.stride == 1) std::memcpy(to_line, from_line, sizeof(T) * middle_line);
              else
                for (int j = 0; j < s.out.width; j++)
                  std::memcpy(to_line + j * s.stride * channels, from_line + j * channels, sizeof(T) * channels);
            }
          }
          for (int i = 0; weights && i < s.out.height; i += band)
            run_depthwise_weights<T>(s, i, std::min(band, s.out.height - i), input.data(), spread.data(), taps_image.data());
          for (int64_t k = 0; weights && k < n_dense; k++) dense_mine[k] += dense_image[k];
          for (size_t k = 0; k < taps_image.size(); k++) taps_mine[k] += taps_image[k];
        } else {
          if (s.border) place_gradient<T>(gn, yn, through.coefficients.data(), factor, s.out, row_out, s.border, spread.data());
          else place_gradient<T>(gn, yn, c3, factor, {s.out.height, s.out.width / count, outputs * count}, row_out, 0, spread.data());
          const T* gradient_in = spread.data() + s.border * (row_out + outputs);
          if (weights && tiled)
            tile_weight_sums<T>(input.data(), gradient_in, s.out, dense_mine, scratch);
          else if (weights)
            dense_weights<T>(input.data(), row, channels, s.dense_kernel, gradient_in, row_out, s.out, dense_mine);
          back(spread.data(), result.data(), scratch);
        }
        for (int i = 0; i < s.in.height; i += band_in) {
          const int lines = std::min(band_in, s.in.height - i);
          T* at = result.data() + i * line_in;
          if (separable) run_depthwise<T>(s, 1, {lines, s.in.width, channels}, spread.data() + i * row, taps_back.data(), at);
          through_relu<T>(at, xn + i * line_in, a ? before_wide.data() : nullptr, a ? before_wide.data() + count * channels : nullptr, {lines, s.in.width / count, count * channels}, add, to + n * s.in.size() + i * line_in, at, mine);
        }
      }
    });
    if (weights) {
      const Aligned<T> sums = of_threads(dense_all, threads);
      to_weight<T>(tiled ? of_tile_sums<T>(sums) : sums, g_dense);
    }
    if (weights && separable) to_weight<T>(of_threads(taps_all, threads), g_depthwise);
  });
  const std::vector<double> total = folded(over_threads(sums_before, sums_before.size() / threads / 2), channels, sums_before.size() / threads / 2 / channels);
  Tensor gx_sums = at::empty({2, channels}, at::kDouble);
  std::copy(total.begin(), total.end(), gx_sums.data_ptr<double>());
  return {g_depthwise, g_dense, g_norm, gx_sums, g_weight};
}

}  // namespace tune_nas
