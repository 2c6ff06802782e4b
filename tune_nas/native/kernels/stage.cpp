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

    std::vector<Backward<T>> run;
    run.reserve(stages.size());
    for (const BackwardStage& stage : stages) run.emplace_back(stage);
    at::parallel_for(0, stages[0].x.size(0), 1, [&](int64_t first, int64_t last) {
      const int64_t at_once = run.size() > 1 ? run[0].at_once() : last - first;
      for (int64_t n = first; n < last; n += at_once)
        for (Backward<T>& stage : run) stage.images(n, std::min(last, n + at_once));
    });
    for (const Backward<T>& stage : run) all.push_back(stage.gradients());
  });
  return all;
}

}  // namespace tune_nas
