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
          const int after = std::min(lines, s.out.height - i - lines);
          if (after > 0) fetch_to_write(out + (i + lines) * line, after * line);
          else if (n + 1 < last) fetch_to_write(out + s.out.size(), lines * line);
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

// What comes out of the transposed convolutions, behind the ReLU; its sums alone and with x, added as
// `add_sums` adds them.
template <class T>
void through_relu(const T* g, const T* x, const T* scale, const T* shift, Plane in, bool add, T* out, double* sums) {
  const int channels = in.channels, pixels = in.height * in.width;
  for (int first = 0; first < pixels; first += kPixelsInASum) {
    const int last = std::min<int>(pixels, first + kPixelsInASum);
    for_lanes<T>(channels, [&](auto lanes, int c) {
      constexpr int L = decltype(lanes)::value;
      const Vec<T, L> zero = {};
      const Vec<T, L> a = scale ? load<T, L>(scale + c) : zero + T(1), b = scale ? load<T, L>(shift + c) : zero;
      Vec<T, L> one[kChains] = {}, two[kChains] = {};
      const auto run = [&](int p, int k, auto adds, auto summed) {
        const size_t at = static_cast<size_t>(p) * channels + c;
        const Vec<T, L> v = load<T, L>(x + at), masked = v * a + b <= zero ? zero : load<T, L>(g + at);
        if constexpr (summed) one[k] += masked, two[k] += masked * v;
        store<T, L>(out + at, adds ? masked + load<T, L>(out + at) : masked);
      };
      const auto run_all = [&](auto adds, auto summed) {
        int p = first;
        for (; p + kChains <= last; p += kChains)
          for (int k = 0; k < kChains; k++) run(p + k, k, adds, summed);
        for (; p < last; p++) run(p, 0, adds, summed);
      };
      const std::true_type yes{};
      const std::false_type no{};
      if (!sums) return add ? run_all(yes, no) : run_all(no, no);
      if (add) run_all(yes, yes);
      else run_all(no, yes);
      for (int k = 1; k < kChains; k++) one[0] += one[k], two[0] += two[k];
      add_as_double<T, L>(one[0], sums + c);
      add_as_double<T, L>(two[0], sums + channels + c);
    });
  }
}

// A stage in the backward pass; `images` runs it for some images.
template <class T>
class Backward {
 public:
  explicit Backward(const BackwardStage& stage)
      : stage_(stage), s(shape_of(plane_of(stage.x), stage.depthwise, stage.dense, stage.dilation, stage.stride)),
        separable(stage.depthwise.has_value()), weights(stage.weights), add(stage.add), channels(s.in.channels), outputs(s.out.channels),
        threads_(at::get_num_threads()), band(separable ? Shape::band(s.out) : s.out.height),
        through_(through_norm<T>(stage.sums.const_data_ptr<double>(), stage.normal, stage.weight, stage.by_batch, stage.y.numel() / outputs)),
        back(by_tap<T>(stage.dense, true), outputs, s.dense_kernel, {band, s.out.width, channels}),
        count(pixels_in_vectors<T>(channels, std::gcd(s.in.width, s.out.width))),
        coefficients_(repeated(through_.coefficients, outputs, count)), before_(affine<T>(stage.normal_before, 1.0)),
        before_wide_(repeated(before_, channels, count)), taps(separable ? by_tap<T>(*stage.depthwise, false) : Aligned<T>()),
        taps_back(separable ? by_tap<T>(*stage.depthwise, true) : Aligned<T>()), tiled(has_tiles(s.dense_kernel, s.out)),
        n_dense(!weights ? 0 : tiled ? stage.dense.numel() / 9 * kTaps : stage.dense.numel()),
        n_taps_(weights && separable ? stage.depthwise->numel() : 0), dense_all_(threads_ * n_dense, T(0)), taps_all_(threads_ * n_taps_, T(0)),
        sums_before_(threads_ * 2 * channels * count, 0.0) {
    check(stage.x, "x");
    check(stage.g, "g");
    check(stage.y, "y");
    check(stage.gx, "gx");
  }

  void images(int64_t first, int64_t last) {
    const T *c3 = coefficients_.data(), *a = before_.empty() ? nullptr : before_.data(), *b = a ? a + channels : nullptr;
    const int line = s.out.width * outputs, middle_line = s.out.width * channels;
    const T *from = stage_.x.template const_data_ptr<T>(), *gs = stage_.g.template const_data_ptr<T>(), *ys = stage_.y.template const_data_ptr<T>();
    const T* by_image = stage_.factors ? stage_.factors->template const_data_ptr<T>() : nullptr;
    T* to = stage_.gx.template data_ptr<T>();
    const int thread = at::get_thread_num();
    const Plane padded = s.padded();
    const int row = padded.width * channels, row_out = padded.width * outputs;
    Aligned<T> input(weights ? padded.size() : 0), spread(separable ? padded.size() : s.with_border(s.out).size(), T(0));
    Aligned<T> gradient(separable ? band * line : 0), middle(separable ? band * middle_line : 0);
    Aligned<T> result(s.in.size()), scratch, dense_image(separable ? n_dense : 0), taps_image(n_taps_);
    const int band_in = Shape::band(s.in), line_in = s.in.width * channels;
    T* dense_mine = dense_all_.data() + n_dense * thread;
    T* taps_mine = taps_all_.data() + n_taps_ * thread;
    double* mine = a ? sums_before_.data() + thread * 2 * channels * count : nullptr;
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
          const size_t share = s.in.size() / s.out.height;  // of gx, which is written at the end
          fetch_to_write(to + n * s.in.size() + share * i, share * lines);
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
        if (s.border) place_gradient<T>(gn, yn, through_.coefficients.data(), factor, s.out, row_out, s.border, spread.data());
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
        through_relu<T>(at, xn + i * line_in, a ? before_wide_.data() : nullptr, a ? before_wide_.data() + count * channels : nullptr, {lines, s.in.width / count, count * channels}, add, to + n * s.in.size() + i * line_in, mine);
      }
    }
  }

  StageGradients gradients() const {
    const auto options = stage_.x.options();
    Tensor g_depthwise = at::empty(n_taps_ ? stage_.depthwise->sizes() : at::IntArrayRef({0}), options);
    Tensor g_dense = at::empty(weights ? stage_.dense.sizes() : at::IntArrayRef({0}), options);
    if (weights) {
      const Aligned<T> sums = of_threads(dense_all_, threads_);
      to_weight<T>(tiled ? of_tile_sums<T>(sums) : sums, g_dense);
    }
    if (n_taps_) to_weight<T>(of_threads(taps_all_, threads_), g_depthwise);
    const std::vector<double> total = folded(over_threads(sums_before_, channels * count), channels, count);
    Tensor gx_sums = at::empty({2, channels}, at::kDouble);
    std::copy(total.begin(), total.end(), gx_sums.data_ptr<double>());
    return {g_depthwise, g_dense, through_.of_norm, gx_sums, through_.of_weight};
  }

  // Images that are run at a time, so that their maps stay in the cache.
  int64_t at_once() const { return std::max<int64_t>(1, kBytesAtOnce / (s.in.size() * sizeof(T))); }

 private:
  static constexpr size_t kBytesAtOnce = size_t(1) << 17;
  const BackwardStage& stage_;
  const Shape s;
  const bool separable, weights, add;
  const int channels, outputs, threads_, band;
  const ThroughNorm<T> through_;
  const Dense<T> back;
  const int count;  // as many pixels as one
  const Aligned<T> coefficients_, before_, before_wide_, taps, taps_back;
  const bool tiled;
  const int64_t n_dense, n_taps_;
  Aligned<T> dense_all_, taps_all_;
  std::vector<double> sums_before_;
};

}  // namespace

std::vector<StageGradients> stages_backward(const std::vector<BackwardStage>& stages) {
  std::vector<StageGradients> all;
  with_type(stages[0].x, [&](auto type) {
    using T = decltype(type);
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
