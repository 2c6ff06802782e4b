// Chains of stages in evaluation, image by image: the outputs of the stages stay in the cache.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <utility>
#include <vector>

#include "convolutions.h"
#include "stage.h"

namespace tune_nas {
namespace {

template <class T>
struct Evaluation {
  std::vector<Convolutions<T>> stages;
  std::vector<Aligned<T>> normals;  // of the input of each stage, and of the output of the last
  const T* from;
};

// to = scale · y + shift by channel, or is added to it.
template <class T>
void add_normalized(const T* y, const Aligned<T>& normal, int pixels, int channels, bool add, T* to) {
  for_lanes<T>(channels, [&](auto lanes, int c) {
    constexpr int L = decltype(lanes)::value;
    const Vec<T, L> a = load<T, L>(normal.data() + c), b = load<T, L>(normal.data() + channels + c);
    for (size_t at = c; at < static_cast<size_t>(pixels) * channels; at += channels) {
      const Vec<T, L> v = a * load<T, L>(y + at) + b;
      store<T, L>(to + at, add ? v + load<T, L>(to + at) : v);
    }
  });
}

// Some lines of a padded image, from line `first` on: relu(scale · y + shift).
template <class T>
void pad_lines(const T* y, const Aligned<T>& normal, const Shape& s, int first, int lines, T* padded) {
  const int channels = s.in.channels, row = s.padded().width * channels;
  for (int i = 0; i < lines; i++)
    for_lanes<T>(channels, [&](auto lanes, int c) {
      constexpr int L = decltype(lanes)::value;
      const Vec<T, L> a = load<T, L>(normal.data() + c), b = load<T, L>(normal.data() + channels + c);
      const T* from = y + static_cast<size_t>(i) * s.in.width * channels;
      T* to = padded + static_cast<size_t>(first + i + s.border) * row + s.border * channels;
      for (int at = c; at < s.in.width * channels; at += channels) store<T, L>(to + at, relu<T, L>(load<T, L>(from + at) * a + b));
    });
}

}  // namespace

void evaluate_chains(const std::vector<EvaluatedChain>& chains, Tensor out, bool add) {
  check(out, "out");
  with_type(out, [&](auto type) {
    using T = decltype(type);
    std::vector<Evaluation<T>> run;
    for (const EvaluatedChain& chain : chains) {
      check(chain.x, "x");
      Plane plane = plane_of(chain.x);
      Evaluation<T> each{{}, std::vector<Aligned<T>>(1), chain.x.template const_data_ptr<T>()};
      for (const EvaluatedStage& stage : chain.stages) {
        each.stages.emplace_back(shape_of(plane, stage.depthwise, stage.dense, stage.dilation, stage.stride),
                                 stage.depthwise, stage.dense);
        each.normals.push_back(affine<T>(stage.normal, &stage == &chain.stages.back() ? chain.weight : 1.0));
        const Shape& shape = each.stages.back().s;
        plane = shape.out;
        TORCH_CHECK(out.numel() == static_cast<int64_t>(chain.x.size(0) * plane.size()) || &stage != &chain.stages.back(), "the shape of the sum");
      }
      run.push_back(std::move(each));
    }
    const Plane plane = run[0].stages.back().s.out;
    T* to = out.data_ptr<T>();
    at::parallel_for(0, chains[0].x.size(0), 1, [&](int64_t first, int64_t last) {
      typename Convolutions<T>::Buffers buffers;
      Aligned<T> y;
      // the padded input of each stage; its border stays 0
      std::vector<std::vector<Aligned<T>>> padded(run.size());
      for (size_t j = 0; j < run.size(); j++)
        for (const Convolutions<T>& stage : run[j].stages) padded[j].emplace_back(stage.s.padded().size(), T(0));
      for (int64_t n = first; n < last; n++)
        for (size_t j = 0; j < run.size(); j++) {
          const Evaluation<T>& each = run[j];
          each.stages[0].padded(each.from + n * each.stages[0].s.in.size(), each.normals[0], padded[j][0]);
          for (size_t k = 0; k < each.stages.size(); k++) {
            const Convolutions<T>& stage = each.stages[k];
            const bool ends = k + 1 == each.stages.size();
            y.resize(static_cast<size_t>(stage.band()) * stage.s.out.width * plane.channels);
            stage(padded[j][k].data(), buffers, [&](int) { return y.data(); }, [&](int i, int lines, const T* values) {
              const size_t line = static_cast<size_t>(stage.s.out.width) * plane.channels;
              if (ends) add_normalized<T>(values, each.normals.back(), lines * stage.s.out.width, plane.channels, add || j > 0, to + n * plane.size() + i * line);
              else pad_lines<T>(values, each.normals[k + 1], each.stages[k + 1].s, i, lines, padded[j][k + 1].data());
            });
          }
        }
    });
  });
}

}  // namespace tune_nas
