// Partial channel connections: the channels of a node that go through the operations of its edges (the
// part), and those that bypass them (the rest). A node is the part and the rest of what its edges return,
// with its channels shuffled: channel i · width + j of the two side by side becomes j · groups + i, with
// `width` the channels of the part.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <tuple>
#include <vector>

#include "lanes.h"
#include "narrow.h"
#include "norm.h"

namespace tune_nas {
namespace {

using at::Tensor;

constexpr int64_t kPixelsAtOnce = 64;

// A map as (pixels, channels): `step` elements from one pixel to the next. Of a missing map `at` is null.
template <class T>
struct Pixels {
  T* at;
  int64_t step;
  T* operator[](int64_t pixel) const { return at + pixel * step; }
};

// The elements from one pixel of a map in channels_last, or of a slice of its channels, to the next; 0 for
// any other. The strides of dimensions of size 1 say nothing.
int64_t step_of(const Tensor& x) {
  int64_t step = 0, pixels = 1;
  for (const int64_t d : {3, 2, 0}) {
    if (x.size(d) == 1) continue;
    if (!step) step = x.stride(d);
    if (x.stride(d) != step * pixels) return 0;
    pixels *= x.size(d);
  }
  return x.size(1) > 1 && x.stride(1) != 1 ? 0 : step ? step : x.size(1);
}

template <class T>
Pixels<const T> pixels_of(const OptionalTensor& x) {
  if (!x) return {nullptr, 0};
  const int64_t step = x->dim() == 4 ? step_of(*x) : 0;
  TORCH_CHECK(step, "a map must lie in channels_last");
  return {x->const_data_ptr<T>(), step};
}
template <class T>
Pixels<T> pixels_to(const Tensor& x) {
  return x.defined() ? Pixels<T>{x.data_ptr<T>(), x.size(1)} : Pixels<T>{nullptr, 0};
}

Tensor empty_like(const Tensor& x, int64_t channels) {
  return at::empty({x.size(0), channels, x.size(2), x.size(3)}, x.options().memory_format(at::MemoryFormat::ChannelsLast));
}

template <class F>
void for_each_pixel(const Tensor& x, F f) {
  const int64_t pixels = x.size(0) * x.size(2) * x.size(3);
  at::parallel_for(0, (pixels + kPixelsAtOnce - 1) / kPixelsAtOnce, 16, [&](int64_t first, int64_t last) {
    for (int64_t p = first * kPixelsAtOnce; p < std::min(pixels, last * kPixelsAtOnce); p++) f(p);
  });
}

template <class T>
inline void copy(const T* from, int channels, T* to) {
  for (int c = 0; c < channels; c += 4) store<T, 4>(to + c, load<T, 4>(from + c));
}

#if TUNE_NAS_SHUFFLES
// Four lines of four, transposed.
template <class T>
inline void transpose(Vec<T, 4> (&v)[4]) {
  const Vec<T, 4> a = __builtin_shufflevector(v[0], v[1], 0, 4, 1, 5), b = __builtin_shufflevector(v[0], v[1], 2, 6, 3, 7);
  const Vec<T, 4> c = __builtin_shufflevector(v[2], v[3], 0, 4, 1, 5), d = __builtin_shufflevector(v[2], v[3], 2, 6, 3, 7);
  v[0] = __builtin_shufflevector(a, c, 0, 1, 4, 5), v[1] = __builtin_shufflevector(a, c, 2, 3, 6, 7);
  v[2] = __builtin_shufflevector(b, d, 0, 1, 4, 5), v[3] = __builtin_shufflevector(b, d, 2, 3, 6, 7);
}
#endif

// whole[j · groups + i] = of group i, channel j; group 0 is the part, the others lie in the rest.
template <class T>
inline void shuffle(const T* part, const T* rest, int width, int groups, T* whole) {
#if TUNE_NAS_SHUFFLES
  if (groups == 4) {
    for (int j = 0; j < width; j += 4) {
      Vec<T, 4> v[4] = {load<T, 4>(part + j), load<T, 4>(rest + j), load<T, 4>(rest + width + j), load<T, 4>(rest + 2 * width + j)};
      transpose<T>(v);
      for (int k = 0; k < 4; k++) store<T, 4>(whole + 4 * (j + k), v[k]);
    }
    return;
  }
#endif
  for (int j = 0; j < width; j++, whole += groups) {
    whole[0] = part[j];
    for (int i = 1; i < groups; i++) whole[i] = rest[(i - 1) * width + j];
  }
}

template <class T>
inline void shuffle_back(const T* whole, int width, int groups, T* part, T* rest) {
#if TUNE_NAS_SHUFFLES
  if (groups == 4) {
    for (int j = 0; j < width; j += 4) {
      Vec<T, 4> v[4];
      for (int k = 0; k < 4; k++) v[k] = load<T, 4>(whole + 4 * (j + k));
      transpose<T>(v);
      store<T, 4>(part + j, v[0]);
      for (int i = 1; i < 4; i++) store<T, 4>(rest + (i - 1) * width + j, v[i]);
    }
    return;
  }
#endif
  for (int j = 0; j < width; j++, whole += groups) {
    part[j] = whole[0];
    for (int i = 1; i < groups; i++) rest[(i - 1) * width + j] = whole[i];
  }
}

// The part, of the first `width` channels, and the rest of a node.
std::tuple<Tensor, Tensor> partial_split(const Tensor& whole, int64_t width) {
  const int channels = whole.size(1), others = channels - width;
  TORCH_CHECK(width % 4 == 0 && channels % 4 == 0, "the channels are multiples of 4");
  Tensor part = empty_like(whole, width), rest = empty_like(whole, others);
  with_type(whole, [&](auto type) {
    using T = decltype(type);
    const auto from = pixels_of<T>(whole);
    const auto to_part = pixels_to<T>(part), to_rest = pixels_to<T>(rest);
    for_each_pixel(whole, [&](int64_t p) { copy(from[p], width, to_part[p]), copy(from[p] + width, others, to_rest[p]); });
  });
  return {part, rest};
}

// The gradient of a node from those of its part and its rest.
Tensor partial_split_backward(const Tensor& part, const Tensor& rest) {
  const int width = part.size(1), others = rest.size(1);
  Tensor whole = empty_like(part, width + others);
  with_type(part, [&](auto type) {
    using T = decltype(type);
    const auto from_part = pixels_of<T>(part), from_rest = pixels_of<T>(rest);
    const auto to = pixels_to<T>(whole);
    for_each_pixel(part, [&](int64_t p) { copy(from_part[p], width, to[p]), copy(from_rest[p], others, to[p] + width); });
  });
  return whole;
}

// A node, and with `split` its part and its rest, from the sums of its edges.
std::vector<Tensor> partial_node(const Tensor& through, const Tensor& around, bool split) {
  check(through, "through");
  check(around, "around");
  const int width = through.size(1), others = around.size(1), groups = 1 + others / width;
  TORCH_CHECK(others % width == 0, "the rest is a multiple of the part");
  std::vector<Tensor> node{empty_like(through, width + others)};
  if (split) node.push_back(empty_like(through, width)), node.push_back(empty_like(through, others));
  with_type(through, [&](auto type) {
    using T = decltype(type);
    const auto from_part = pixels_of<T>(through), from_rest = pixels_of<T>(around);
    const auto to = pixels_to<T>(node[0]), to_part = pixels_to<T>(split ? node[1] : Tensor()), to_rest = pixels_to<T>(split ? node[2] : Tensor());
    for_each_pixel(through, [&](int64_t p) {
      shuffle(from_part[p], from_rest[p], width, groups, to[p]);
      if (split) copy(to[p], width, to_part[p]), copy(to[p] + width, others, to_rest[p]);
    });
  });
  return node;
}

// The gradients of the sums from those of the node, its part and its rest; of the part and the rest
// both are given, or none.
std::tuple<Tensor, Tensor> partial_node_backward(const OptionalTensor& whole, const OptionalTensor& part,
                                                 const OptionalTensor& rest, int64_t groups) {
  const Tensor& like = whole ? *whole : *part;
  const int channels = whole ? whole->size(1) : part->size(1) + rest->size(1), width = channels / groups;
  Tensor through = empty_like(like, width), around = empty_like(like, channels - width);
  with_type(like, [&](auto type) {
    using T = decltype(type);
    const auto from = pixels_of<T>(whole), from_part = pixels_of<T>(part), from_rest = pixels_of<T>(rest);
    const auto to_part = pixels_to<T>(through), to_rest = pixels_to<T>(around);
    const int64_t pixels = like.size(0) * like.size(2) * like.size(3);
    at::parallel_for(0, pixels, 1024, [&](int64_t first, int64_t last) {
      Aligned<T> sum(channels);
      for (int64_t p = first; p < last; p++) {
        const T* g = whole ? from[p] : sum.data();
        if (part) {
          const auto add = [&](const T* more, int begin, int end) {
            for (int c = begin; c < end; c += 4) {
              const Vec<T, 4> v = load<T, 4>(more + c - begin);
              store<T, 4>(sum.data() + c, whole ? v + load<T, 4>(from[p] + c) : v);
            }
          };
          add(from_part[p], 0, width), add(from_rest[p], width, channels);
          g = sum.data();
        }
        shuffle_back(g, width, int(groups), to_part[p], to_rest[p]);
      }
    });
  });
  return {through, around};
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(tune_nas, library) {
  library.def("partial_split(Tensor whole, int width) -> (Tensor, Tensor)", &partial_split);
  library.def("partial_split_backward(Tensor part, Tensor rest) -> Tensor", &partial_split_backward);
  library.def("partial_node(Tensor through, Tensor around, bool split) -> Tensor[]", &partial_node);
  library.def("partial_node_backward(Tensor? whole, Tensor? part, Tensor? rest, int groups) -> (Tensor, Tensor)", &partial_node_backward);
}

}  // namespace tune_nas
