// The sum in a node: scaled terms, and chains of stages, in one pass over the sum.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <numeric>
#include <tuple>
#include <vector>

#include "lanes.h"
#include "norm.h"
#include "stage.h"

namespace tune_nas {
namespace {

using at::TensorList;
using Floats = at::ArrayRef<double>;

constexpr int64_t kPixelsInABlock = 64;  // of the sum, which stays in the cache for all terms

// The chains as Python lists them. `stages` has the numbers of each stage (`StageNumber`). `weights` has
// of each, where there are such: the depthwise convolution, the dense one, gain, bias.
class Chains {
 public:
  struct Stage {
    OptionalTensor depthwise, gain, bias;
    Tensor dense;
    int64_t input, dilation, stride;
    bool by_batch, tracks, first, last;
  };

  Chains(TensorList weights, at::IntArrayRef stages) {
    TORCH_CHECK(stages.size() % kNumbers == 0, "each stage has kNumbers numbers");
    const int64_t n = stages.size() / kNumbers;
    size_t next = 0;
    for (int64_t k = 0; k < n; k++) {
      const int64_t* at = stages.data() + kNumbers * k;
      Stage stage;
      if (at[kDepthwise]) stage.depthwise = weights[next++];
      stage.dense = weights[next++];
      if (at[kAffine]) stage.gain = weights[next++], stage.bias = weights[next++];
      stage.first = at[kStart] >= 0;
      stage.last = k + 1 == n || at[kNumbers + kStart] >= 0;
      stage.input = stage.first ? at[kStart] : all.back().input;
      stage.dilation = at[kDilation], stage.stride = at[kStride];
      stage.by_batch = at[kByBatch], stage.tracks = at[kTracks];
      all.push_back(stage);
    }
  }
  std::vector<Stage> all;
};

template <class F>
void for_blocks(int64_t pixels, F f) {
  at::parallel_for(0, (pixels + kPixelsInABlock - 1) / kPixelsInABlock, 64, [&](int64_t first, int64_t last) {
    for (int64_t block = first; block < last; block++)
      f(block * kPixelsInABlock, std::min(pixels, (block + 1) * kPixelsInABlock));
  });
}

template <class T>
std::vector<T*> pointers(const std::vector<Tensor>& tensors) {
  std::vector<T*> to;
  for (const Tensor& tensor : tensors) to.push_back(tensor.data_ptr<T>());
  return to;
}

// The factors of the images for a chain: none if there are no factors.
template <class T>
const T* factors_of(TensorList factors, size_t chain) {
  return factors.empty() || !factors[chain].numel() ? nullptr : factors[chain].const_data_ptr<T>();
}

// Calls f(first, last, image) for the parts of a range of pixels, an image each.
template <class F>
void for_images(int64_t first, int64_t last, int64_t pixels, F f) {
  while (first < last) {
    const int64_t image = first / pixels, end = std::min(last, (image + 1) * pixels);
    f(first, end, image);
    first = end;
  }
}

// total (+)= the sum of scale · term and of scale · factor · norm(y): terms first, then the ys.
void add_all(Tensor total, bool begun, const std::vector<Tensor>& addends, size_t n_terms,
             const std::vector<Tensor>& normals, Floats scales, TensorList by_image) {
  with_type(total, [&](auto type) {
    using T = decltype(type);
    const int count = pixels_in_vectors<T>(total.size(1), total.size(2) * total.size(3));  // as many pixels as one
    const int channels = total.size(1) * count;
    const int64_t pixels = total.size(2) * total.size(3) / count;
    const std::vector<T*> from = pointers<T>(addends);
    std::vector<Aligned<T>> factors;  // by channel: scale, then shift
    for (size_t i = 0; i < addends.size(); i++) {
      if (i >= n_terms) factors.push_back(repeated(affine<T>(normals[i - n_terms], scales[i]), total.size(1), count));
      else factors.emplace_back(channels, static_cast<T>(scales[i])), factors.back().resize(2 * channels, T(0));
    }
    T* to = total.data_ptr<T>();
    // `some` addends from number i on, whose sum stays in a register
    const auto add_some = [&](auto some, size_t i, int64_t first, int64_t last) {
      constexpr int N = decltype(some)::value;
      for_lanes<T>(channels, [&](auto lanes, int c) {
        constexpr int L = decltype(lanes)::value;
        const auto run = [&](int64_t begin, int64_t end, int64_t image) {
          Vec<T, L> a[N], b[N];
          for (int k = 0; k < N; k++) {
            a[k] = load<T, L>(factors[i + k].data() + c), b[k] = load<T, L>(factors[i + k].data() + channels + c);
            const T* factor = i + k < n_terms ? nullptr : factors_of<T>(by_image, i + k - n_terms);
            if (factor) a[k] = factor[image] * a[k], b[k] = factor[image] * b[k];
          }
          for (int64_t at = begin * channels + c; at < end * channels; at += channels) {
            Vec<T, L> sum;
            for (int k = 0; k < N; k++) {
              const Vec<T, L> v = a[k] * load<T, L>(from[i + k] + at) + b[k];
              if (k > 0) sum = v + sum;
              else sum = begun || i > 0 ? v + load<T, L>(to + at) : v;
            }
            store<T, L>(to + at, sum);
          }
        };
        if (by_image.empty()) run(first, last, 0);
        else for_images(first, last, pixels, run);
      });
    };
    for_blocks(total.numel() / channels, [&](int64_t first, int64_t last) {
      size_t i = 0;
      for (; i + 4 <= from.size(); i += 4) add_some(std::integral_constant<int, 4>{}, i, first, last);
      if (i + 2 <= from.size()) add_some(std::integral_constant<int, 2>{}, i, first, last), i += 2;
      if (i < from.size()) add_some(std::integral_constant<int, 1>{}, i, first, last);
    });
  });
}

// Target of the gradient of a term: a separate tensor, or that of an input.
struct Target {
  Tensor to;
  bool add;
};

// (n, 2, channels): the sums of factor · g and of factor · g · y for each y. scale · g goes to the
// targets, and with `scalings` the sums of g · term to `along`.
Tensor dots(const Tensor& g, const std::vector<Tensor>& ys, const std::vector<Tensor>& terms,
            const std::vector<Target>& targets, Floats scales, TensorList by_image, bool scalings,
            std::vector<double>& along) {
  const size_t n = ys.size() + terms.size(), threads = at::get_num_threads();
  std::vector<double> total;
  with_type(g, [&](auto type) {
    using T = decltype(type);
    const int count = pixels_in_vectors<T>(g.size(1), g.size(2) * g.size(3));  // as many pixels as one
    const int channels = g.size(1) * count;
    const int64_t pixels = g.size(2) * g.size(3) / count;
    std::vector<double> sums(threads * n * 2 * channels, 0.0);
    const T* gs = g.const_data_ptr<T>();
    std::vector<T*> from = pointers<T>(ys), to;
    for (const Tensor& term : terms) from.push_back(term.data_ptr<T>());
    for (const Target& target : targets) to.push_back(target.to.defined() ? target.to.data_ptr<T>() : nullptr);
    for_blocks(g.numel() / channels, [&](int64_t first, int64_t last) {
      double* mine = sums.data() + at::get_thread_num() * n * 2 * channels;
      const int64_t offset = first * channels;
      for (size_t i = 0; i < (scalings ? n : ys.size()); i++) {
        double* to_sums = mine + i * 2 * channels;
        const T* factor = i < ys.size() ? factors_of<T>(by_image, i) : nullptr;
        if (!factor) add_sums<T>(gs + offset, from[i] + offset, last - first, channels, to_sums);
        else
          for_images(first, last, pixels, [&](int64_t begin, int64_t end, int64_t image) {
            std::vector<double> part(2 * channels, 0.0);
            add_sums<T>(gs + begin * channels, from[i] + begin * channels, end - begin, channels, part.data());
            for (int k = 0; k < 2 * channels; k++) to_sums[k] += factor[image] * part[k];
          });
      }
      for (size_t i = 0; i < terms.size(); i++) {
        if (!to[i]) continue;
        const T scale = static_cast<T>(scales[i]);
        for_lanes<T>((last - first) * channels, [&](auto lanes, int k) {
          constexpr int L = decltype(lanes)::value;
          const int64_t at = offset + k;
          const Vec<T, L> v = scale * load<T, L>(gs + at);
          store<T, L>(to[i] + at, targets[i].add ? v + load<T, L>(to[i] + at) : v);
        });
      }
    });
    total = folded(over_threads(sums, n * channels), g.size(1), count);
  });
  const int channels = g.size(1);
  Tensor of_ys = at::empty({static_cast<int64_t>(ys.size()), 2, channels}, at::kDouble);
  std::copy_n(total.begin(), of_ys.numel(), of_ys.data_ptr<double>());
  for (size_t i = 0; i < terms.size(); i++) {
    const double* at = total.data() + (ys.size() + i) * 2 * channels + channels;
    along.push_back(std::accumulate(at, at + channels, 0.0));
  }
  return of_ys;
}

std::tuple<Tensor, std::vector<Tensor>> mix_forward(const OptionalTensor& total, TensorList terms, TensorList inputs,
                                                    TensorList weights, TensorList statistics,
                                                    at::IntArrayRef stages, Floats numbers, Floats scales, TensorList factors) {
  const Chains chains(weights, stages);
  std::vector<Tensor> kept, addends(terms.begin(), terms.end()), normals;
  size_t statistic = 0, number = 0;
  for (const Chains::Stage& stage : chains.all) {
    OptionalTensor mean, variance;
    if (stage.tracks) {
      mean = statistics[statistic++], variance = statistics[statistic++];
      if (stage.by_batch) *statistics[statistic].data_ptr<int64_t>() += 1;
      statistic++;
    }
    const double momentum = stage.tracks ? numbers[number] : 0.0, eps = numbers[number + 1];
    number += 2;
    const auto [y, normal] = stage_forward(
        stage.first ? inputs[stage.input] : kept[kept.size() - 2], stage.first ? OptionalTensor() : kept.back(),
        stage.depthwise, stage.dense, stage.dilation, stage.stride,
        Norm{mean, variance, stage.by_batch, momentum, eps, stage.gain, stage.bias});
    kept.push_back(y);
    kept.push_back(normal);
    if (!stage.last) continue;
    addends.push_back(y);
    normals.push_back(normal);
  }
  TORCH_CHECK(!addends.empty() && addends.size() == scales.size(), "a scale for each term and chain, of at least one");
  for (const Tensor& addend : addends) check(addend, "what is added");
  if (total) check(*total, "total");
  Tensor out = total ? *total : at::empty_like(addends[0]);
  add_all(out, total.has_value(), addends, terms.size(), normals, scales, factors);
  return {out, kept};
}

// The same with running statistics alone, where no gradient is needed: no output of a stage is kept.
Tensor mix_evaluate(const OptionalTensor& total, TensorList terms, TensorList inputs, TensorList weights,
                    TensorList statistics, at::IntArrayRef stages, Floats numbers, Floats scales) {
  const Chains chains(weights, stages);
  const auto starts = std::count_if(chains.all.begin(), chains.all.end(), [](const Chains::Stage& stage) { return stage.first; });
  TORCH_CHECK(starts > 0 && terms.size() + starts == scales.size(), "a scale for each term and chain, of at least one");
  std::vector<EvaluatedChain> runs;
  size_t statistic = 0, number = 1;
  for (const Chains::Stage& stage : chains.all) {
    TORCH_CHECK(stage.tracks && !stage.by_batch, "running statistics are needed");
    const Norm norm{statistics[statistic], statistics[statistic + 1], false, 0.0, numbers[number], stage.gain, stage.bias};
    statistic += 3, number += 2;
    if (stage.first) runs.push_back({inputs[stage.input], {}, scales[terms.size() + runs.size()]});
    runs.back().stages.push_back({stage.depthwise, stage.dense, norm.of({}, stage.dense.size(0), 0), stage.dilation, stage.stride});
  }
  Tensor out;
  if (total) {
    check(*total, "total");
    out = *total;
  } else {
    const Tensor& x = runs[0].x;
    int64_t height = x.size(2), width = x.size(3);
    for (const EvaluatedStage& stage : runs[0].stages) height = (height - 1) / stage.stride + 1, width = (width - 1) / stage.stride + 1;
    out = at::empty({x.size(0), runs[0].stages.back().dense.size(0), height, width},
                    x.options().memory_format(at::MemoryFormat::ChannelsLast));
  }
  for (const Tensor& term : terms) check(term, "what is added");
  if (!terms.empty()) add_all(out, total.has_value(), {terms.begin(), terms.end()}, terms.size(), {}, scales, {});
  evaluate_chains(runs, out, total || !terms.empty());
  return out;
}

// What a stage needs in the backward pass: its first weight, its chain, the gradient of its output, and
// the sums of it.
struct Flow {
  size_t weight, chain;
  Tensor g, sums;
};

// If `of_inputs` is given for an input, its gradient is needed; a term that is an input (its
// index in `term_inputs`, -1 for none) has its gradient there. Returns the gradients of the other
// terms, of the inputs, of the weights (with `of_weights`) and of the scales.
std::tuple<std::vector<Tensor>, std::vector<Tensor>, std::vector<Tensor>, std::vector<double>> mix_backward(
    const Tensor& g, TensorList terms, at::IntArrayRef term_inputs, TensorList inputs,
    at::IntArrayRef wanted, TensorList weights, TensorList kept, at::IntArrayRef stages, Floats scales,
    bool of_weights, TensorList factors, bool scalings) {
  check(g, "g");
  const Chains chains(weights, stages);
  std::vector<Tensor> of_inputs, of_terms, of_all;
  std::vector<bool> begun(inputs.size(), false);
  for (size_t i = 0; i < inputs.size(); i++) of_inputs.push_back(wanted[i] ? at::empty_like(inputs[i]) : Tensor());
  std::vector<Target> targets;
  for (size_t i = 0; i < terms.size(); i++) {
    const int64_t input = term_inputs[i];
    if (input < 0) {
      of_terms.push_back(at::empty_like(terms[i]));
      targets.push_back({of_terms.back(), false});
    } else {
      targets.push_back({of_inputs[input], begun[input]});
      begun[input] = true;
    }
  }
  std::vector<Tensor> ys;
  for (size_t k = 0; k < chains.all.size(); k++)
    if (chains.all[k].last) ys.push_back(kept[2 * k]);
  std::vector<double> of_scales;
  const Tensor sums_of_ys = dots(g, ys, {terms.begin(), terms.end()}, targets, scales, factors, scalings, of_scales);
  of_scales.resize(scales.size());
  of_all.resize(of_weights ? weights.size() : 0);
  std::vector<Flow> flows;
  size_t weight = 0, chain = 0;
  for (size_t k = 0; k < chains.all.size(); k++) {
    const Chains::Stage& stage = chains.all[k];
    flows.push_back({weight, chain, {}, {}});
    weight += (stage.depthwise ? 2 : 1) + (stage.gain ? 2 : 0);
    if (stage.last) flows.back().g = g, flows.back().sums = sums_of_ys[chain++];
  }
  // Chains of one input are run together, from their last stages on.
  for (size_t input = 0; input < inputs.size(); input++) {
    std::vector<size_t> group;
    for (size_t k = chains.all.size(); k-- > 0;) {
      const Chains::Stage& stage = chains.all[k];
      if (!stage.last || stage.input != static_cast<int64_t>(input)) continue;
      if (wanted[input] || of_weights) {
        group.push_back(k);
        continue;
      }
      const double count = double(kept[2 * k].numel()) / kept[2 * k].size(1);  // only the gradient of the scale is needed
      of_scales[terms.size() + flows[k].chain] =
          through_norm<double>(flows[k].sums.const_data_ptr<double>(), kept[2 * k + 1], 1.0, false, count).of_weight;
    }
    while (!group.empty()) {
      std::vector<BackwardStage> run;
      for (const size_t k : group) {
        const Chains::Stage& stage = chains.all[k];
        const Flow& flow = flows[k];
        const Tensor& x = stage.first ? inputs[input] : kept[2 * k - 2];
        const bool has_factors = stage.last && !factors.empty() && factors[flow.chain].numel();
        run.push_back({flow.g, flow.sums, kept[2 * k], kept[2 * k + 1], stage.last ? scales[terms.size() + flow.chain] : 1.0, stage.by_batch, x,
                       stage.first ? OptionalTensor() : kept[2 * k - 1], stage.depthwise, stage.dense, stage.dilation, stage.stride, of_weights,
                       stage.first && wanted[input] ? of_inputs[input] : at::empty_like(x), stage.first && begun[input],
                       has_factors ? OptionalTensor(factors[flow.chain]) : OptionalTensor()});
        if (stage.first) begun[input] = true;
      }
      const std::vector<StageGradients> found = stages_backward(run);
      std::vector<size_t> next;
      for (size_t i = 0; i < group.size(); i++) {
        const size_t k = group[i];
        const Chains::Stage& stage = chains.all[k];
        size_t at = flows[k].weight;
        flows[k].g = Tensor();
        if (stage.last) of_scales[terms.size() + flows[k].chain] = found[i].weight;
        if (of_weights) {
          if (stage.depthwise) of_all[at++] = found[i].depthwise;
          of_all[at++] = found[i].dense;
          if (stage.gain)
            for (const int64_t row : {0, 1}) of_all[at++] = found[i].norm[row].to(g.scalar_type());
        }
        if (stage.first) continue;
        flows[k - 1].g = run[i].gx, flows[k - 1].sums = found[i].sums;
        next.push_back(k - 1);
      }
      group = std::move(next);
    }
  }
  return {of_terms, of_inputs, of_all, of_scales};
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(tune_nas, library) {
  library.def("mix_forward(Tensor(a!)? total, Tensor[] terms, Tensor[] inputs, Tensor[] weights, "
              "Tensor(b!)[] statistics, int[] stages, float[] numbers, float[] scales, Tensor[] factors) -> (Tensor, Tensor[])",
              &mix_forward);
  library.def("mix_evaluate(Tensor(a!)? total, Tensor[] terms, Tensor[] inputs, Tensor[] weights, "
              "Tensor[] statistics, int[] stages, float[] numbers, float[] scales) -> Tensor", &mix_evaluate);
  library.def("mix_backward(Tensor g, Tensor[] terms, int[] term_inputs, Tensor[] inputs, int[] wanted, "
              "Tensor[] weights, Tensor[] kept, int[] stages, float[] scales, bool of_weights, Tensor[] factors, bool scalings) "
              "-> (Tensor[], Tensor[], Tensor[], float[])", &mix_backward);
}

}  // namespace tune_nas
