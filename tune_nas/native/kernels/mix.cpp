// What is added to a node's sum, and the sums that its gradient needs.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <tuple>
#include <vector>

#include "lanes.h"
#include "norm.h"

namespace tune_nas {
namespace {

using at::Tensor;

// total (+)= weight · norm(y).
void add_normal(Tensor total, const Tensor& y, const Tensor& normal, double weight, bool add) {
  check(total, "total");
  check(y, "y");
  const int channels = y.size(1);
  const int64_t pixels = y.numel() / channels;
  with_lanes(y, channels, [&](auto type, auto lanes) {
    using T = decltype(type);
    constexpr int L = decltype(lanes)::value;
    const std::vector<T> both = affine<T>(normal, weight);
    const T *from = y.const_data_ptr<T>(), *a = both.data(), *b = a + channels;
    T* to = total.data_ptr<T>();
    at::parallel_for(0, pixels, 4096, [&](int64_t first, int64_t last) {
      for (int c = 0; c < channels; c += L) {
        const Vec<T, L> scale = load<T, L>(a + c), shift = load<T, L>(b + c);
        for (int64_t at = first * channels + c; at < last * channels; at += channels) {
          const Vec<T, L> v = scale * load<T, L>(from + at) + shift;
          store<T, L>(to + at, add ? v + load<T, L>(to + at) : v);
        }
      }
    });
  });
}

// (2, channels): the sum of g, and of g · y, over images and pixels.
Tensor dots(const Tensor& g, const Tensor& y) {
  check(g, "g");
  check(y, "y");
  const int channels = y.size(1);
  const int64_t pixels = y.numel() / channels;
  std::vector<double> sums(at::get_num_threads() * 2 * channels, 0.0);
  with_lanes(y, channels, [&](auto type, auto lanes) {
    using T = decltype(type);
    constexpr int L = decltype(lanes)::value;
    const T *one = g.const_data_ptr<T>(), *two = y.const_data_ptr<T>();
    at::parallel_for(0, pixels, 4096, [&](int64_t first, int64_t last) {
      add_sums<T, L>(one + first * channels, two + first * channels, last - first, channels,
                     sums.data() + at::get_thread_num() * 2 * channels);
    });
  });
  const std::vector<double> total = over_threads(sums, channels);
  Tensor out = at::empty({2, channels}, at::kDouble);
  std::copy(total.begin(), total.end(), out.data_ptr<double>());
  return out;
}

// total (+)= weight · term.
void add_term(Tensor total, const Tensor& term, double weight, bool add) {
  check(total, "total");
  check(term, "term");
  with_lanes(term, term.size(1), [&](auto type, auto lanes) {
    using T = decltype(type);
    constexpr int L = decltype(lanes)::value;
    const T *from = term.const_data_ptr<T>(), scale = static_cast<T>(weight);
    T* to = total.data_ptr<T>();
    at::parallel_for(0, term.numel() / L, 16384, [&](int64_t first, int64_t last) {
      for (int64_t i = first * L; i < last * L; i += L) {
        const Vec<T, L> v = scale * load<T, L>(from + i);
        store<T, L>(to + i, add ? v + load<T, L>(to + i) : v);
      }
    });
  });
}

// The gradients of term and weight: weight · g, and the sum of g · term.
std::tuple<Tensor, double> term_backward(const Tensor& g, const Tensor& term, double weight) {
  check(g, "g");
  check(term, "term");
  Tensor out = at::empty_like(term);
  std::vector<double> sums(at::get_num_threads(), 0.0);
  with_lanes(term, term.size(1), [&](auto type, auto lanes) {
    using T = decltype(type);
    constexpr int L = decltype(lanes)::value;
    const T *from = g.const_data_ptr<T>(), *with = term.const_data_ptr<T>(), scale = static_cast<T>(weight);
    T* to = out.data_ptr<T>();
    at::parallel_for(0, term.numel() / L, 16384, [&](int64_t first, int64_t last) {
      double& mine = sums[at::get_thread_num()];
      for (int64_t chunk = first; chunk < last; chunk += kPixelsInASum) {
        Vec<T, L> sum = {};
        for (int64_t i = chunk * L; i < std::min(last, chunk + kPixelsInASum) * L; i += L) {
          const Vec<T, L> v = load<T, L>(from + i);
          sum += v * load<T, L>(with + i);
          store<T, L>(to + i, scale * v);
        }
        for (int lane = 0; lane < L; lane++) mine += sum[lane];
      }
    });
  });
  double total = 0;
  for (double part : sums) total += part;
  return {out, total};
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(tune_nas, library) {
  library.def("add_normal(Tensor(a!) total, Tensor y, Tensor normal, float weight, bool add) -> ()", &add_normal);
  library.def("add_term(Tensor(a!) total, Tensor term, float weight, bool add) -> ()", &add_term);
  library.def("term_backward(Tensor g, Tensor term, float weight) -> (Tensor, float)", &term_backward);
  library.def("dots(Tensor g, Tensor y) -> Tensor", &dots);
}

}  // namespace tune_nas
