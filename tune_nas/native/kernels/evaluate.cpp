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
void add_normalized(const T* y, const Aligned<T>& normal, Plane plane, bool add, T* to) {
  const size_t line = static_cast<size_t>(plane.width) * plane.channels;
  for (size_t start = 0; start < plane.size(); start += line)
    for_lanes<T>(plane.channels, [&](auto lanes, int c) {
      constexpr int L = decltype(lanes)::value;
      const Vec<T, L> a = load<T, L>(normal.data() + c), b = load<T, L>(normal.data() + plane.channels + c);
      for (size_t at = start + c; at < start + line; at += plane.channels) {
        const Vec<T, L> v = a * load<T, L>(y + at) + b;
        store<T, L>(to + at, add ? v + load<T, L>(to + at) : v);
      }
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
      Aligned<T> y, before;
      for (int64_t n = first; n < last; n++)
        for (const Evaluation<T>& each : run) {
          const T* input = each.from + n * each.stages[0].s.in.size();
          for (size_t k = 0; k < each.stages.size(); k++) {
            y.resize(each.stages[k].s.out.size());
            each.stages[k](input, each.normals[k], buffers, y.data());
            std::swap(y, before);
            input = before.data();
          }
          add_normalized<T>(input, each.normals.back(), plane, add || &each != &run[0], to + n * plane.size());
        }
    });
  });
}

}  // namespace tune_nas
