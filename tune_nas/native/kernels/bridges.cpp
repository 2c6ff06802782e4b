// The 1 × 1 convolutions from one place to the cells that read it: ReLU, convolution, batch
// normalization. What they read is a list of tensors, the parts of one along the channels, which is
// never put together. ReLU is applied once for all of them, and the gradients are added in the cache.
//
// A bridge of stride 2 consists of two convolutions side by side, of every other pixel from (0, 0)
// and from (1, 1) on; outside of the image are zeros.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <cstring>
#include <tuple>
#include <vector>

#include "convolutions.h"
#include "norm.h"

namespace tune_nas {
namespace {

using at::TensorList;
using Floats = at::ArrayRef<double>;

// Indices of the numbers that Python lists for each bridge: `BridgeNumber` in bridges.py.
enum BridgeNumber : int64_t { kHalves, kLearns, kOfBatch, kHasStatistics, kBridgeNumbers };

struct Bridge {
  std::vector<Tensor> dense;  // one, or the two halves
  OptionalTensor gain, bias;
  bool by_batch, tracks;
  int columns;  // of the outputs, and where they begin among those of all bridges of stride 1
  int begin = 0;
  bool halves() const { return dense.size() == 2; }
};

std::vector<Bridge> bridges_of(TensorList weights, at::IntArrayRef numbers) {
  TORCH_CHECK(numbers.size() % kBridgeNumbers == 0 && !numbers.empty(), "each bridge has kBridgeNumbers numbers");
  std::vector<Bridge> all;
  size_t next = 0;
  int begin = 0;
  for (const int64_t* at = numbers.begin(); at != numbers.end(); at += kBridgeNumbers) {
    Bridge bridge{{weights[next++]}, {}, {}, at[kOfBatch] != 0, at[kHasStatistics] != 0, 0};
    if (at[kHalves]) bridge.dense.push_back(weights[next++]);
    if (at[kLearns]) bridge.gain = weights[next++], bridge.bias = weights[next++];
    for (const Tensor& dense : bridge.dense) {
      TORCH_CHECK(dense.size(0) % 4 == 0 && dense.size(2) == 1 && dense.size(3) == 1, "a bridge is pointwise, to a multiple of 4 channels");
      bridge.columns += dense.size(0);
    }
    if (!bridge.halves()) bridge.begin = begin, begin += bridge.columns;
    all.push_back(bridge);
  }
  return all;
}

// The sizes of what is read, and of what bridges of stride 2 return.
struct Sizes {
  int64_t images;
  Plane in;
  std::vector<int> channels;
  int stacked = 0;  // outputs of all bridges of stride 1

  Sizes(TensorList parts, const std::vector<Bridge>& bridges) : images(parts[0].size(0)), in(plane_of(parts[0])) {
    in.channels = 0;
    for (const Tensor& part : parts) {
      check(part, "a part");
      TORCH_CHECK(part.size(0) == images && part.size(2) == in.height && part.size(3) == in.width, "the parts have one size");
      channels.push_back(part.size(1));
      in.channels += part.size(1);
    }
    for (const Bridge& bridge : bridges) {
      TORCH_CHECK(bridge.dense[0].size(1) == in.channels, "a bridge reads the channels of all parts");
      if (!bridge.halves()) stacked += bridge.columns;
    }
  }
  int height(bool halves) const { return halves ? (in.height + 1) / 2 : in.height; }
  int width(bool halves) const { return halves ? (in.width + 1) / 2 : in.width; }
  // Lines that are computed at a time, an even number unless they are all.
  int band() const { return std::min<int>(in.height, (kPixelsInASum / in.width + 1) / 2 * 2 + 2 * (in.width > kPixelsInASum)); }
};

// Calls f(lanes, channel) for the channels of each pixel, given its offsets in both.
template <class T, class F>
inline void for_pixels(int pixels, int channels, int step_a, int step_b, F f) {
  for_lanes<T>(channels, [&](auto lanes, int c) {
    size_t a = c, b = c;
    for (int p = 0; p < pixels; p++, a += step_a, b += step_b) f(lanes, c, a, b);
  });
}

// x = relu(the parts side by side), of some pixels.
template <class T>
void read(const std::vector<const T*>& parts, const Sizes& sizes, int64_t first, int pixels, T* x) {
  for (size_t k = 0, begin = 0; k < parts.size(); begin += sizes.channels[k++]) {
    const T* from = parts[k] + first * sizes.channels[k];
    for_pixels<T>(pixels, sizes.channels[k], sizes.channels[k], sizes.in.channels, [&](auto lanes, int, size_t a, size_t b) {
      constexpr int L = decltype(lanes)::value;
      store<T, L>(x + begin + b, relu<T, L>(load<T, L>(from + a)));
    });
  }
}

// Every other pixel of some lines, from (start, start) on; f(pixel's index, its offset or -1).
template <class F>
void every_other(Plane lines, int start, F f) {
  int pixel = 0;
  for (int i = start; i < lines.height + start; i += 2)
    for (int j = start; j < lines.width + start; j += 2, pixel++)
      f(pixel, i < lines.height && j < lines.width ? (static_cast<ptrdiff_t>(i) * lines.width + j) * lines.channels : -1);
}

template <class T>
void take_every_other(const T* x, Plane lines, int start, T* to) {
  every_other(lines, start, [&](int pixel, ptrdiff_t at) {
    T* mine = to + static_cast<size_t>(pixel) * lines.channels;
    if (at < 0) std::memset(mine, 0, sizeof(T) * lines.channels);
    else std::memcpy(mine, x + at, sizeof(T) * lines.channels);
  });
}

template <class T>
void add_every_other(const T* from, Plane lines, int start, T* x) {
  every_other(lines, start, [&](int pixel, ptrdiff_t at) {
    if (at < 0) return;
    const T* mine = from + static_cast<size_t>(pixel) * lines.channels;
    for_lanes<T>(lines.channels, [&](auto lanes, int c) {
      constexpr int L = decltype(lanes)::value;
      store<T, L>(x + at + c, load<T, L>(x + at + c) + load<T, L>(mine + c));
    });
  });
}

// to = from, or scale · from + shift with `normal`, the two one after the other, of `all` channels each.
template <class T>
void write(const T* from, int step_from, int pixels, int channels, const T* normal, int all, T* to, int step) {
  for_pixels<T>(pixels, channels, step_from, step, [&](auto lanes, int c, size_t a, size_t b) {
    constexpr int L = decltype(lanes)::value;
    const Vec<T, L> v = load<T, L>(from + a);
    store<T, L>(to + b, normal ? load<T, L>(normal + c) * v + load<T, L>(normal + all + c) : v);
  });
}

// The weights of all bridges of stride 1 side by side, (inputs, outputs) or, `back`, (outputs, inputs).
template <class T>
Aligned<T> stacked_weights(const std::vector<Bridge>& bridges, bool back) {
  std::vector<Tensor> all;
  for (const Bridge& bridge : bridges)
    if (!bridge.halves()) all.push_back(bridge.dense[0]);
  return all.empty() ? Aligned<T>() : by_tap<T>(at::cat(all), back);
}

template <class T>
std::vector<Aligned<T>> half_weights(const std::vector<Bridge>& bridges, bool back) {
  std::vector<Aligned<T>> all;
  for (const Bridge& bridge : bridges)
    for (int half = 0; half < 2; half++) all.push_back(bridge.halves() ? by_tap<T>(bridge.dense[half], back) : Aligned<T>());
  return all;
}

// The outputs y of the convolutions, or scale · y + shift with `normals`; `sums` are called for each
// with its pixels of a band.
template <class T, class F>
void convolve(TensorList parts, const std::vector<Bridge>& bridges, const std::vector<Aligned<T>>& normals,
              const std::vector<Tensor>& outputs, F sums) {
  const Sizes sizes(parts, bridges);
  std::vector<const T*> from;
  std::vector<T*> to;
  for (const Tensor& part : parts) from.push_back(part.const_data_ptr<T>());
  for (const Tensor& output : outputs) to.push_back(output.data_ptr<T>());
  const Aligned<T> stacked = stacked_weights<T>(bridges, false);
  const std::vector<Aligned<T>> halves = half_weights<T>(bridges, false);
  at::parallel_for(0, sizes.images, 1, [&](int64_t first, int64_t last) {
    const int band = sizes.band(), width = sizes.in.width;
    Aligned<T> x(band * width * sizes.in.channels), y(band * width * sizes.stacked), taken, half;
    for (int64_t n = first; n < last; n++)
      for (int i = 0; i < sizes.in.height; i += band) {
        const Plane lines{std::min(band, sizes.in.height - i), width, sizes.in.channels};
        const int pixels = lines.height * width;
        read<T>(from, sizes, (n * sizes.in.height + i) * width, pixels, x.data());
        if (sizes.stacked) dense<T>(x.data(), sizes.in.channels, 1, stacked.data(), {1, pixels, sizes.stacked}, y.data());
        for (size_t k = 0; k < bridges.size(); k++) {
          const Bridge& bridge = bridges[k];
          const T* normal = normals.empty() ? nullptr : normals[k].data();
          const int step = bridge.halves() ? 2 : 1, out_pixels = (lines.height + step - 1) / step * sizes.width(step == 2);
          T* mine = to[k] + ((n * sizes.height(step == 2) + i / step) * sizes.width(step == 2)) * bridge.columns;
          if (!bridge.halves()) write<T>(y.data() + bridge.begin, sizes.stacked, pixels, bridge.columns, normal, bridge.columns, mine, bridge.columns);
          for (int h = 0, begin = 0; bridge.halves() && h < 2; begin += bridge.dense[h++].size(0)) {
            const int columns = bridge.dense[h].size(0);
            taken.resize(out_pixels * lines.channels), half.resize(out_pixels * columns);
            take_every_other<T>(x.data(), lines, h, taken.data());
            dense<T>(taken.data(), lines.channels, 1, halves[2 * k + h].data(), {1, out_pixels, columns}, half.data());
            write<T>(half.data(), columns, out_pixels, columns, normal ? normal + begin : nullptr, bridge.columns, mine + begin, bridge.columns);
          }
          sums(k, mine, out_pixels);
        }
      }
  });
}

std::vector<Tensor> empty_outputs(TensorList parts, const std::vector<Bridge>& bridges) {
  const Sizes sizes(parts, bridges);
  std::vector<Tensor> outputs;
  for (const Bridge& bridge : bridges)
    outputs.push_back(at::empty({sizes.images, bridge.columns, sizes.height(bridge.halves()), sizes.width(bridge.halves())},
                                parts[0].options().memory_format(at::MemoryFormat::ChannelsLast)));
  return outputs;
}

// The normalizations of all bridges; `sums` (2, channels) are those of each output, and its square.
std::vector<Tensor> normals_of(const std::vector<Bridge>& bridges, TensorList statistics, Floats numbers,
                               const std::vector<std::vector<double>>& sums, const std::vector<Tensor>& outputs) {
  std::vector<Tensor> normals;
  size_t statistic = 0;
  for (size_t k = 0; k < bridges.size(); k++) {
    const Bridge& bridge = bridges[k];
    OptionalTensor mean, variance;
    if (bridge.tracks) {
      mean = statistics[statistic], variance = statistics[statistic + 1];
      if (bridge.by_batch) *statistics[statistic + 2].data_ptr<int64_t>() += 1;
      statistic += 3;
    }
    const Norm norm{mean, variance, bridge.by_batch, bridge.tracks ? numbers[2 * k] : 0.0, numbers[2 * k + 1], bridge.gain, bridge.bias};
    normals.push_back(norm.of(over_threads(sums[k], bridge.columns), bridge.columns, outputs[k].numel() / bridge.columns));
  }
  return normals;
}

// The outputs; of each bridge the outputs of its convolutions, and the normalization of these.
std::tuple<std::vector<Tensor>, std::vector<Tensor>> bridges_forward(
    TensorList parts, TensorList weights, TensorList statistics, at::IntArrayRef bridge_numbers, Floats numbers) {
  const std::vector<Bridge> bridges = bridges_of(weights, bridge_numbers);
  const std::vector<Tensor> ys = empty_outputs(parts, bridges);
  std::vector<Tensor> outputs, kept;
  std::vector<std::vector<double>> sums;
  for (const Bridge& bridge : bridges) sums.emplace_back(at::get_num_threads() * 2 * bridge.columns, 0.0);
  with_type(parts[0], [&](auto type) {
    using T = decltype(type);
    convolve<T>(parts, bridges, {}, ys, [&](size_t k, const T* y, int pixels) {
      const int columns = bridges[k].columns;
      if (bridges[k].by_batch) add_sums<T>(y, y, pixels, columns, sums[k].data() + at::get_thread_num() * 2 * columns);
    });
    const std::vector<Tensor> normals = normals_of(bridges, statistics, numbers, sums, ys);
    for (size_t k = 0; k < bridges.size(); k++) {
      const Aligned<T> normal = affine<T>(normals[k], 1.0);
      const int columns = bridges[k].columns;
      outputs.push_back(at::empty_like(ys[k]));
      const T* from = ys[k].const_data_ptr<T>();
      T* to = outputs[k].data_ptr<T>();
      at::parallel_for(0, ys[k].numel() / columns / ys[k].size(3), 8, [&](int64_t first, int64_t last) {
        const int line = ys[k].size(3) * columns;
        for (int64_t i = first; i < last; i++)
          write<T>(from + i * line, columns, ys[k].size(3), columns, normal.data(), columns, to + i * line, columns);
      });
      kept.push_back(ys[k]), kept.push_back(normals[k]);
    }
  });
  return {outputs, kept};
}

// The outputs with running statistics, where no gradient is needed.
std::vector<Tensor> bridges_evaluate(TensorList parts, TensorList weights, TensorList statistics,
                                     at::IntArrayRef bridge_numbers, Floats numbers) {
  const std::vector<Bridge> bridges = bridges_of(weights, bridge_numbers);
  const std::vector<Tensor> outputs = empty_outputs(parts, bridges);
  for (const Bridge& bridge : bridges) TORCH_CHECK(bridge.tracks && !bridge.by_batch, "running statistics are needed");
  const std::vector<Tensor> normals = normals_of(bridges, statistics, numbers, std::vector<std::vector<double>>(bridges.size()), outputs);
  with_type(parts[0], [&](auto type) {
    using T = decltype(type);
    std::vector<Aligned<T>> scales;
    for (const Tensor& normal : normals) scales.push_back(affine<T>(normal, 1.0));
    convolve<T>(parts, bridges, scales, outputs, [](size_t, const T*, int) {});
  });
  return outputs;
}

// to = a · g + b · y + d by channel, the three one after the other in `coefficients` of `all` channels each.
template <class T>
void write_gradient(const T* g, const T* y, int step_from, int pixels, int channels, const T* coefficients, int all, T* to, int step) {
  for_lanes<T>(channels, [&](auto lanes, int c) {
    constexpr int L = decltype(lanes)::value;
    const Vec<T, L> a = load<T, L>(coefficients + c), b = load<T, L>(coefficients + all + c), d = load<T, L>(coefficients + 2 * all + c);
    size_t from = c, at = c;
    for (int p = 0; p < pixels; p++, from += step_from, at += step)
      store<T, L>(to + at, a * load<T, L>(g + from) + b * load<T, L>(y + from) + d);
  });
}

// The gradients of the parts: r where x, after ReLU, is not 0.
template <class T>
void write_parts(const T* r, const T* x, const Sizes& sizes, int64_t first, int pixels, const std::vector<T*>& parts) {
  for (size_t k = 0, begin = 0; k < parts.size(); begin += sizes.channels[k++]) {
    T* to = parts[k] + first * sizes.channels[k];
    for_pixels<T>(pixels, sizes.channels[k], sizes.in.channels, sizes.channels[k], [&](auto lanes, int, size_t a, size_t b) {
      constexpr int L = decltype(lanes)::value;
      const Vec<T, L> zero = {};
      store<T, L>(to + b, load<T, L>(x + begin + a) <= zero ? zero : load<T, L>(r + begin + a));
    });
  }
}

// A gradient (inputs, columns) of a weight, from column `begin` of `all` on.
template <class T>
Tensor weight_gradient(const Aligned<T>& sums, int threads, int begin, int all, const Tensor& weight) {
  Tensor gradient = at::zeros_like(weight);
  const int64_t outputs = weight.size(0), inputs = weight.size(1), n = inputs * all;
  T* to = gradient.data_ptr<T>();
  const auto strides = gradient.strides();
  for (int thread = 0; thread < threads; thread++)
    for (int64_t i = 0; i < inputs; i++)
      for (int64_t o = 0; o < outputs; o++) to[o * strides[0] + i * strides[1]] += sums[thread * n + i * all + begin + o];
  return gradient;
}

// What the convolutions of each bridge pass back, by its normalization: the coefficients of the
// gradient of its outputs, and the gradients of gain and bias.
template <class T>
std::vector<ThroughNorm<T>> through_norms(TensorList gradients, TensorList kept, const std::vector<Bridge>& bridges) {
  std::vector<ThroughNorm<T>> all;
  for (size_t k = 0; k < bridges.size(); k++) {
    const int columns = bridges[k].columns;
    check(gradients[k], "g");
    const int64_t pixels = gradients[k].numel() / columns;
    std::vector<double> sums(at::get_num_threads() * 2 * columns, 0.0);
    const T *g = gradients[k].const_data_ptr<T>(), *y = kept[2 * k].const_data_ptr<T>();
    at::parallel_for(0, pixels / kPixelsInASum + 1, 64, [&](int64_t first, int64_t last) {
      const int64_t from = first * kPixelsInASum, to = std::min(pixels, last * kPixelsInASum);
      add_sums<T>(g + from * columns, y + from * columns, to - from, columns, sums.data() + at::get_thread_num() * 2 * columns);
    });
    all.push_back(through_norm<T>(over_threads(sums, columns).data(), kept[2 * k + 1], 1.0, bridges[k].by_batch, pixels));
  }
  return all;
}

// The gradients of the parts (none without `of_parts`) and of the weights.
std::tuple<std::vector<Tensor>, std::vector<Tensor>> bridges_backward(
    TensorList gradients, TensorList parts, TensorList weights, TensorList kept, at::IntArrayRef bridge_numbers, bool of_parts) {
  const std::vector<Bridge> bridges = bridges_of(weights, bridge_numbers);
  const Sizes sizes(parts, bridges);
  const int threads = at::get_num_threads(), inputs = sizes.in.channels, stacked = sizes.stacked;
  std::vector<Tensor> part_gradients, weight_gradients;
  for (size_t k = 0; of_parts && k < parts.size(); k++) part_gradients.push_back(at::empty_like(parts[k]));
  with_type(parts[0], [&](auto type) {
    using T = decltype(type);
    std::vector<const T*> from;
    std::vector<T*> to;
    for (const Tensor& part : parts) from.push_back(part.const_data_ptr<T>());
    for (const Tensor& gradient : part_gradients) to.push_back(gradient.data_ptr<T>());
    const std::vector<ThroughNorm<T>> through = through_norms<T>(gradients, kept, bridges);
    const Aligned<T> stacked_back = stacked_weights<T>(bridges, true);
    const std::vector<Aligned<T>> halves_back = half_weights<T>(bridges, true);
    Aligned<T> stacked_sums(static_cast<size_t>(threads) * inputs * stacked, T(0));
    std::vector<Aligned<T>> half_sums;
    for (const Bridge& bridge : bridges)
      for (int h = 0; h < 2; h++) half_sums.emplace_back(bridge.halves() ? threads * bridge.dense[h].numel() : 0, T(0));
    at::parallel_for(0, sizes.images, 1, [&](int64_t first, int64_t last) {
      const int band = sizes.band(), width = sizes.in.width, thread = at::get_thread_num();
      Aligned<T> x(band * width * inputs), r(x.size()), g(band * width * stacked), taken, half, back;
      for (int64_t n = first; n < last; n++)
        for (int i = 0; i < sizes.in.height; i += band) {
          const Plane lines{std::min(band, sizes.in.height - i), width, inputs};
          const int pixels = lines.height * width;
          const int64_t at = (n * sizes.in.height + i) * width;
          read<T>(from, sizes, at, pixels, x.data());
          for (size_t k = 0; k < bridges.size(); k++) {
            const int columns = bridges[k].columns;
            if (!bridges[k].halves())
              write_gradient<T>(gradients[k].const_data_ptr<T>() + at * columns, kept[2 * k].const_data_ptr<T>() + at * columns, columns,
                                pixels, columns, through[k].coefficients.data(), columns, g.data() + bridges[k].begin, stacked);
          }
          if (stacked) {
            dense_weights<T>(x.data(), 0, inputs, 1, g.data(), 0, {1, pixels, stacked}, stacked_sums.data() + static_cast<size_t>(thread) * inputs * stacked);
            if (of_parts) dense<T>(g.data(), stacked, 1, stacked_back.data(), {1, pixels, inputs}, r.data());
          } else {
            std::fill(r.begin(), r.end(), T(0));
          }
          for (size_t k = 0; k < bridges.size(); k++)
            for (int h = 0, begin = 0; bridges[k].halves() && h < 2; begin += bridges[k].dense[h++].size(0)) {
              const int all = bridges[k].columns, columns = bridges[k].dense[h].size(0);
              const int out_pixels = (lines.height + 1) / 2 * sizes.width(true);
              const int64_t out = (n * sizes.height(true) + i / 2) * sizes.width(true) * all + begin;
              taken.resize(out_pixels * inputs), half.resize(out_pixels * columns), back.resize(out_pixels * inputs);
              write_gradient<T>(gradients[k].const_data_ptr<T>() + out, kept[2 * k].const_data_ptr<T>() + out, all, out_pixels, columns,
                                through[k].coefficients.data() + begin, all, half.data(), columns);
              take_every_other<T>(x.data(), lines, h, taken.data());
              dense_weights<T>(taken.data(), 0, inputs, 1, half.data(), 0, {1, out_pixels, columns},
                               half_sums[2 * k + h].data() + static_cast<size_t>(thread) * inputs * columns);
              if (!of_parts) continue;
              dense<T>(half.data(), columns, 1, halves_back[2 * k + h].data(), {1, out_pixels, inputs}, back.data());
              add_every_other<T>(back.data(), lines, h, r.data());
            }
          if (of_parts) write_parts<T>(r.data(), x.data(), sizes, at, pixels, to);
        }
    });
    for (size_t k = 0; k < bridges.size(); k++) {
      const Bridge& bridge = bridges[k];
      if (!bridge.halves()) weight_gradients.push_back(weight_gradient<T>(stacked_sums, threads, bridge.begin, stacked, bridge.dense[0]));
      for (int h = 0; bridge.halves() && h < 2; h++)
        weight_gradients.push_back(weight_gradient<T>(half_sums[2 * k + h], threads, 0, bridge.dense[h].size(0), bridge.dense[h]));
      if (bridge.gain)
        for (const int64_t row : {0, 1}) weight_gradients.push_back(through[k].of_norm[row].to(parts[0].scalar_type()));
    }
  });
  return {part_gradients, weight_gradients};
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(tune_nas, library) {
  library.def("bridges_forward(Tensor[] parts, Tensor[] weights, Tensor(a!)[] statistics, int[] bridges, float[] numbers) "
              "-> (Tensor[], Tensor[])", &bridges_forward);
  library.def("bridges_evaluate(Tensor[] parts, Tensor[] weights, Tensor[] statistics, int[] bridges, float[] numbers) -> Tensor[]",
              &bridges_evaluate);
  library.def("bridges_backward(Tensor[] gradients, Tensor[] parts, Tensor[] weights, Tensor[] kept, int[] bridges, bool of_parts) "
              "-> (Tensor[], Tensor[])", &bridges_backward);
}

}  // namespace tune_nas
