// 3×3 pooling with padding 1, like torch.nn.AvgPool2d (count_include_pad=False) and MaxPool2d,
// and with the batch normalization that may follow, of which only the output is kept.
// The backward pass gathers: each pixel of the input reads the windows that contain it.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <cstdint>
#include <cstring>
#include <limits>
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

// At stride 1 a line is the sum of up to nine lines, shifted: whole lines at a time.
template <class T>
void add_line(const T* from, int count, T* to) {
  for_lanes<T>(count, [&](auto lanes, int i) {
    constexpr int L = decltype(lanes)::value;
    store<T, L>(to + i, load<T, L>(to + i) + load<T, L>(from + i));
  });
}

template <class T>
void scale_line(const T* from, const Taps& rows, Plane in, T* to) {
  for (int j = 0; j < in.width; j++) {
    const T scale = share<T>(rows, Taps(j, in.width));
    for_lanes<T>(in.channels, [&](auto lanes, int c) {
      constexpr int L = decltype(lanes)::value;
      store<T, L>(to + j * in.channels + c, scale * load<T, L>(from + j * in.channels + c));
    });
  }
}

template <class T>
void add_neighbors(const T* from, Plane in, T* to) {
  const int all = in.width * in.channels, one = in.channels;
  add_line<T>(from, all, to);
  add_line<T>(from, all - one, to + one);
  add_line<T>(from + one, all - one, to);
}

template <class T>
void average_lines(const T* x, Plane in, int64_t image, int row, T* to) {
  const Taps rows(row, in.height);
  const size_t line = static_cast<size_t>(in.width) * in.channels;
  T* mine = to + image * in.size() + row * line;
  std::memset(mine, 0, sizeof(T) * line);
  for (int ky = rows.first; ky < rows.last; ky++)
    add_neighbors<T>(x + image * in.size() + (row + ky - 1) * line, in, mine);
  scale_line<T>(mine, rows, in, mine);
}

template <class T>
void average_lines_back(const T* g, Plane in, int64_t image, int row, T* to, T* scaled) {
  const Taps rows(row, in.height);
  const size_t line = static_cast<size_t>(in.width) * in.channels;
  T* mine = to + image * in.size() + row * line;
  std::memset(mine, 0, sizeof(T) * line);
  for (int ky = rows.first; ky < rows.last; ky++) {
    const int y = row + ky - 1;
    scale_line<T>(g + image * in.size() + y * line, Taps(y, in.height), in, scaled);
    add_neighbors<T>(scaled, in, mine);
  }
}

template <class T, int L>
using MaskOf = decltype(Vec<T, L>{} > Vec<T, L>{});
template <int L>
struct ByteLanes {
  typedef uint8_t type __attribute__((vector_size(L), aligned(1), may_alias));
};
template <int L>
using Bytes = typename ByteLanes<L>::type;

template <class T>
void maximum(const T* x, Plane in, Plane out, int stride, int64_t image, int row, T* to, uint8_t* which) {
  const Taps rows(row * stride, in.height);
  const T* from = x + image * in.size();
  const size_t line = image * out.size() + static_cast<size_t>(row) * out.width * out.channels;
  for (int j = 0; j < out.width; j++) {
    const Taps columns(j * stride, in.width);
    for_lanes<T>(in.channels, [&](auto lanes, int c) {
      constexpr int L = decltype(lanes)::value;
      using Mask = MaskOf<T, L>;
      Vec<T, L> best = Vec<T, L>{} - std::numeric_limits<T>::infinity();
      Mask tap = {};
      for (int ky = rows.first; ky < rows.last; ky++)
        for (int kx = columns.first; kx < columns.last; kx++) {
          const Vec<T, L> v = load<T, L>(from + (static_cast<size_t>(row * stride + ky - 1) * in.width + j * stride + kx - 1) * in.channels + c);
          const Mask better = (v > best) | (v != v);  // like torch: the last NaN wins
          best = better ? v : best;
          tap = better ? Mask{} + (ky * 3 + kx) : tap;
        }
      store<T, L>(to + line + j * in.channels + c, best);
      *reinterpret_cast<Bytes<L>*>(which + line + j * in.channels + c) = __builtin_convertvector(tap, Bytes<L>);
    });
  }
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
            const MaskOf<T, L> tapped = __builtin_convertvector(*reinterpret_cast<const Bytes<L>*>(which + at), MaskOf<T, L>);
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
      else if (stride == 1) average_lines<T>(from, in, image, row, to);
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
      if (!taps && stride == 1) {
        std::vector<T> scaled(in.width * in.channels);
        average_lines_back<T>(from, in, image, row, to, scaled.data());
        return;
      }
      back<T>(from, taps, in, out, stride, image, row, to);
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
