// 3×3 pooling with padding 1, like torch.nn.AvgPool2d (count_include_pad=False) and MaxPool2d,
// and with the batch normalization that may follow, of which only the output is kept.
// The backward pass gathers: each pixel of the input reads the windows that contain it.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <tuple>
#include <vector>

#include "lanes.h"
#include "norm.h"

namespace tune_nas {
namespace {

using at::Tensor;

int windows(int size, int stride) { return (size - 1) / stride + 1; }

// Calls f(image, row, first pixel's offset) for each row of images of `rows` rows, in parallel.
template <class F>
void for_rows(int64_t images, int rows, F f) {
  at::parallel_for(0, images * rows, 8, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; i++) f(i / rows, static_cast<int>(i % rows));
  });
}

// The taps of a window inside the image: [first, last).
struct Taps {
  int first, last;
  Taps(int center, int size) : first(center == 0 ? 1 : 0), last(center + 1 == size ? 2 : 3) {}
  int count() const { return last - first; }
};

// One over the number of taps of a window, by those along each side.
template <class T>
T share(const Taps& rows, const Taps& columns) {
  constexpr T one_over[] = {T(0), T(1), T(1) / 2, T(1) / 3};
  return one_over[rows.count()] * one_over[columns.count()];
}

template <class T>
void average(const T* x, Plane in, Plane out, int stride, int64_t image, int row, T* to) {
  const Taps rows(row * stride, in.height);
  const T* from = x + image * in.size();
  T* line = to + image * out.size() + static_cast<size_t>(row) * out.width * out.channels;
  for (int j = 0; j < out.width; j++) {
    const Taps columns(j * stride, in.width);
    const T scale = share<T>(rows, columns);
    for_lanes<T>(in.channels, [&](auto lanes, int c) {
      constexpr int L = decltype(lanes)::value;
      Vec<T, L> sum = {};
      for (int ky = rows.first; ky < rows.last; ky++)
        for (int kx = columns.first; kx < columns.last; kx++)
          sum += load<T, L>(from + (static_cast<size_t>(row * stride + ky - 1) * in.width + j * stride + kx - 1) * in.channels + c);
      store<T, L>(line + j * in.channels + c, sum * scale);
    });
  }
}

// Calls f(lanes, element, columns) for vectors that cover a line of windows of stride 1: pixel by pixel at
// both ends, and over the ends of pixels between them.
template <class T, class F>
inline void for_line(Plane in, F f) {
  const int channels = in.channels, last = in.width - 1;
  const auto pixel = [&](int j) {
    for_lanes<T>(channels, [&](auto lanes, int c) { f(lanes, j * channels + c, Taps(j, in.width)); });
  };
  pixel(0);
  if (last > 1) for_lanes<T>((last - 1) * channels, [&](auto lanes, int i) { f(lanes, channels + i, Taps(1, 3)); });
  if (last > 0) pixel(last);
}

// At stride 1 the windows of a line are summed along their columns first. `sums` are a line between two
// pixels of zeros.
template <class T, class Scale>
void add_columns(const T* x, Plane in, const Taps& rows, int row, Scale scale, T* sums) {
  const int line = in.width * in.channels;
  for_line<T>(in, [&](auto lanes, int i, Taps columns) {
    constexpr int L = decltype(lanes)::value;
    Vec<T, L> sum = {};
    for (int ky = rows.first; ky < rows.last; ky++)
      sum += scale(row + ky - 1, columns) * load<T, L>(x + static_cast<ptrdiff_t>(row + ky - 1) * line + i);
    store<T, L>(sums + in.channels + i, sum);
  });
}

template <class T, class Scale>
void add_rows(const T* sums, Plane in, Scale scale, T* to) {
  for_line<T>(in, [&](auto lanes, int i, Taps columns) {
    constexpr int L = decltype(lanes)::value;
    const T* at = sums + i;
    store<T, L>(to + i, scale(columns) * (load<T, L>(at) + load<T, L>(at + in.channels) + load<T, L>(at + 2 * in.channels)));
  });
}

// Such sums, not yet written.
template <class T>
std::unique_ptr<T[]> between_zeros(Plane in) {
  const int end = (in.width + 1) * in.channels;
  std::unique_ptr<T[]> sums(new T[end + in.channels]);
  std::fill_n(sums.get(), in.channels, T(0));
  std::fill_n(sums.get() + end, in.channels, T(0));
  return sums;
}

template <class T>
void average_lines(const T* x, Plane in, int64_t image, int row, T* to, T* sums) {
  const Taps rows(row, in.height);
  const size_t first = image * in.size();
  add_columns<T>(x + first, in, rows, row, [](int, const Taps&) { return T(1); }, sums);
  add_rows<T>(sums, in, [&](const Taps& columns) { return share<T>(rows, columns); }, to + first + static_cast<size_t>(row) * in.width * in.channels);
}

template <class T>
void average_lines_back(const T* g, Plane in, int64_t image, int row, T* to, T* sums) {
  const size_t first = image * in.size();
  add_columns<T>(g + first, in, Taps(row, in.height), row, [&](int y, const Taps& columns) { return share<T>(Taps(y, in.height), columns); }, sums);
  add_rows<T>(sums, in, [](const Taps&) { return T(1); }, to + first + static_cast<size_t>(row) * in.width * in.channels);
}

template <class T, int L>
using MaskOf = decltype(Vec<T, L>{} > Vec<T, L>{});
template <int L>
using Bytes = Vec<uint8_t, L>;

// The taps in a mask's lanes, twice as wide at a time: GCC 12 converts byte by byte otherwise.
template <class T, int L>
inline MaskOf<T, L> widened(Bytes<L> taps) {
  const auto twice = __builtin_convertvector(taps, Vec<uint16_t, L>);
  return __builtin_convertvector(__builtin_convertvector(twice, Vec<uint32_t, L>), MaskOf<T, L>);
}

template <class T>
void maximum(const T* x, Plane in, Plane out, int stride, int64_t image, int row, T* to, uint8_t* which) {
  const Taps rows(row * stride, in.height);
  const T* from = x + image * in.size();
  const size_t line = image * out.size() + static_cast<size_t>(row) * out.width * out.channels;
  // of the window whose center is at element `center` of its line
  const auto run = [&](auto lanes, int center, int at, Taps columns) {
    constexpr int L = decltype(lanes)::value;
    using Mask = MaskOf<T, L>;
    Vec<T, L> best = Vec<T, L>{} - std::numeric_limits<T>::infinity();
    Mask tap = {};
    for (int ky = rows.first; ky < rows.last; ky++)
      for (int kx = columns.first; kx < columns.last; kx++) {
        const Vec<T, L> v = load<T, L>(from + static_cast<ptrdiff_t>(row * stride + ky - 1) * in.width * in.channels + center + (kx - 1) * in.channels);
        const Mask better = (v > best) | (v != v);  // like torch: the last NaN wins
        best = better ? v : best;
        tap = better ? Mask{} + (ky * 3 + kx) : tap;
      }
    store<T, L>(to + line + at, best);
    store<uint8_t, L>(which + line + at, __builtin_convertvector(tap, Bytes<L>));
  };
  if (stride == 1) return for_line<T>(in, [&](auto lanes, int i, Taps columns) { run(lanes, i, i, columns); });
  for (int j = 0; j < out.width; j++)
    for_lanes<T>(in.channels, [&](auto lanes, int c) { run(lanes, j * stride * in.channels + c, j * in.channels + c, Taps(j * stride, in.width)); });
}

// `back` for a maximum at stride 1.
template <class T>
void back_lines(const T* g, const uint8_t* which, Plane in, int64_t image, int row, T* to) {
  const Taps rows(row, in.height);
  const size_t first = image * in.size();
  for_line<T>(in, [&](auto lanes, int i, Taps columns) {
    constexpr int L = decltype(lanes)::value;
    Vec<T, L> sum = {};
    for (int ky = rows.first; ky < rows.last; ky++)
      for (int kx = columns.first; kx < columns.last; kx++) {
        const ptrdiff_t at = first + static_cast<ptrdiff_t>(row + ky - 1) * in.width * in.channels + i + (kx - 1) * in.channels;
        const MaskOf<T, L> tapped = widened<T, L>(load<uint8_t, L>(which + at));
        sum += tapped == (2 - ky) * 3 + 2 - kx ? load<T, L>(g + at) : Vec<T, L>{};
      }
    store<T, L>(to + first + static_cast<size_t>(row) * in.width * in.channels + i, sum);
  });
}

// The windows along one side that contain a pixel, by its tap in each: [first, last).
struct Holders {
  int first, last;
  Holders(int pixel, int size, int stride)
      : first(std::max(0, (pixel - 1 + stride - 1) / stride)), last(std::min(windows(size, stride), (pixel + 1) / stride + 1)) {}
};

template <class T>
void back(const T* g, const uint8_t* which, Plane in, Plane out, int stride, int64_t image, int row, T* to) {
  const Holders rows(row, in.height, stride);
  T* line = to + image * in.size() + static_cast<size_t>(row) * in.width * in.channels;
  for (int j = 0; j < in.width; j++) {
    const Holders columns(j, in.width, stride);
    for_lanes<T>(in.channels, [&](auto lanes, int c) {
      constexpr int L = decltype(lanes)::value;
      Vec<T, L> sum = {};
      for (int y = rows.first; y < rows.last; y++)
        for (int x = columns.first; x < columns.last; x++) {
          const size_t at = image * out.size() + (static_cast<size_t>(y) * out.width + x) * in.channels + c;
          const Vec<T, L> part = load<T, L>(g + at);
          if (which) {
            const int tap = (row - y * stride + 1) * 3 + j - x * stride + 1;
            const MaskOf<T, L> tapped = widened<T, L>(load<uint8_t, L>(which + at));
            sum += tapped == tap ? part : Vec<T, L>{};
          } else {
            sum += part * share<T>(Taps(y * stride, in.height), Taps(x * stride, in.width));
          }
        }
      store<T, L>(line + j * in.channels + c, sum);
    });
  }
}

Plane plane(const Tensor& x) { return {int(x.size(2)), int(x.size(3)), int(x.size(1))}; }

// The output of the pooling, and the tap of each maximum, from 0 to 8 (empty for the mean).
std::tuple<Tensor, Tensor> pool_forward(const Tensor& x, bool maximal, int64_t stride) {
  check(x, "x");
  const Plane in = plane(x);
  const Plane out = {windows(in.height, stride), windows(in.width, stride), in.channels};
  const auto like = x.options().memory_format(at::MemoryFormat::ChannelsLast);
  const int64_t images = x.size(0);
  Tensor y = at::empty({images, out.channels, out.height, out.width}, like);
  Tensor which = maximal ? at::empty(y.sizes(), like.dtype(at::kByte)) : at::empty({0}, at::kByte);
  with_type(x, [&](auto type) {
    using T = decltype(type);
    const T* from = x.const_data_ptr<T>();
    T* to = y.data_ptr<T>();
    uint8_t* taps = which.data_ptr<uint8_t>();
    for_rows(images, out.height, [&](int64_t image, int row) {
      if (maximal) maximum<T>(from, in, out, stride, image, row, to, taps);
      else if (stride == 1) {
        const auto sums = between_zeros<T>(in);
        average_lines<T>(from, in, image, row, to, sums.get());
      }
      else average<T>(from, in, out, stride, image, row, to);
    });
  });
  return {y, which};
}

Tensor pool_backward(const Tensor& g, const Tensor& which, at::IntArrayRef sizes, int64_t stride) {
  check(g, "g");
  Tensor gx = at::empty(sizes, g.options().memory_format(at::MemoryFormat::ChannelsLast));
  const Plane in = plane(gx), out = plane(g);
  with_type(g, [&](auto type) {
    using T = decltype(type);
    const T* from = g.const_data_ptr<T>();
    const uint8_t* taps = which.numel() ? which.const_data_ptr<uint8_t>() : nullptr;
    T* to = gx.data_ptr<T>();
    for_rows(gx.size(0), in.height, [&](int64_t image, int row) {
      if (stride > 1) return back<T>(from, taps, in, out, stride, image, row, to);
      if (taps) return back_lines<T>(from, taps, in, image, row, to);
      const auto sums = between_zeros<T>(in);
      average_lines_back<T>(from, in, image, row, to, sums.get());
    });
  });
  return gx;
}

// The sums over pixels of a and of a · b, by channel.
template <class T>
std::vector<double> sums_of(const T* a, const T* b, int64_t images, Plane each) {
  std::vector<double> sums(at::get_num_threads() * 2 * each.channels, 0.0);
  at::parallel_for(0, images, 1, [&](int64_t first, int64_t last) {
    add_sums<T>(a + first * each.size(), b + first * each.size(), (last - first) * each.height * each.width,
                   each.channels, sums.data() + at::get_thread_num() * 2 * each.channels);
  });
  return over_threads(sums, each.channels);
}

// out = a · g + b · y + d by channel, the three one after the other; g and out may be the same.
template <class T>
void combine(const T* g, const T* y, const Aligned<T>& coefficients, int64_t images, Plane each, T* out) {
  const int count = pixels_in_vectors<T>(each.channels, each.height * each.width), channels = count * each.channels;
  const Aligned<T> wide = repeated(coefficients, each.channels, count);
  at::parallel_for(0, images, 1, [&](int64_t first, int64_t last) {
    for_lanes<T>(channels, [&](auto lanes, int c) {
      constexpr int L = decltype(lanes)::value;
      const T* at_c = wide.data() + c;
      const Vec<T, L> a = load<T, L>(at_c), b = load<T, L>(at_c + channels), d = load<T, L>(at_c + 2 * channels);
      for (size_t at = first * each.size() + c; at < last * each.size(); at += channels)
        store<T, L>(out + at, a * load<T, L>(g + at) + b * load<T, L>(y + at) + d);
    });
  });
}

// The output of the pooling, normalized by the batch; the tap of each maximum; mean and inverse.
std::tuple<Tensor, Tensor, Tensor> normed_pool_forward(const Tensor& x, bool maximal, int64_t stride, double eps) {
  auto [y, which] = pool_forward(x, maximal, stride);
  const Plane each = plane(y);
  Tensor normal;
  with_type(y, [&, &y = y](auto type) {
    using T = decltype(type);
    T* at = y.data_ptr<T>();
    const Norm norm{{}, {}, true, 0.0, eps};
    normal = norm.of(sums_of<T>(at, at, y.size(0), each), each.channels, y.numel() / each.channels);
    Aligned<T> coefficients = affine<T>(normal, 1.0);  // scale and shift; nothing times y between them
    coefficients.insert(coefficients.begin() + each.channels, each.channels, T(0));
    combine<T>(at, at, coefficients, y.size(0), each, at);
  });
  return {y, which, normal};
}

// `out` and the arguments after it are results of the forward pass.
Tensor normed_pool_backward(const Tensor& g, const Tensor& out, const Tensor& which, const Tensor& normal,
                            at::IntArrayRef sizes, int64_t stride) {
  check(g, "g");
  check(out, "out");
  const Plane each = plane(g);
  const int64_t count = g.numel() / each.channels;
  Tensor before = at::empty_like(g);
  with_type(g, [&](auto type) {
    using T = decltype(type);
    const T *gs = g.const_data_ptr<T>(), *outs = out.const_data_ptr<T>();
    const std::vector<double> sums = sums_of<T>(gs, outs, g.size(0), each);
    const double* inverse = normal.const_data_ptr<double>() + each.channels;
    Aligned<T> coefficients(3 * each.channels);
    for (int c = 0; c < each.channels; c++) {
      coefficients[c] = static_cast<T>(inverse[c]);
      coefficients[each.channels + c] = static_cast<T>(-inverse[c] * sums[each.channels + c] / count);
      coefficients[2 * each.channels + c] = static_cast<T>(-inverse[c] * sums[c] / count);
    }
    combine<T>(gs, outs, coefficients, g.size(0), each, before.data_ptr<T>());
  });
  return pool_backward(before, which, sizes, stride);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(tune_nas, library) {
  library.def("pool_forward(Tensor x, bool maximal, int stride) -> (Tensor, Tensor)", &pool_forward);
  library.def("pool_backward(Tensor g, Tensor which, int[] sizes, int stride) -> Tensor", &pool_backward);
  library.def("normed_pool_forward(Tensor x, bool maximal, int stride, float eps) -> (Tensor, Tensor, Tensor)",
              &normed_pool_forward);
  library.def("normed_pool_backward(Tensor g, Tensor out, Tensor which, Tensor normal, int[] sizes, int stride) -> Tensor",
              &normed_pool_backward);
}

}  // namespace tune_nas
