// A stage of an operation: [scale and shift ->] ReLU -> [depthwise ->] dense convolution, then batch
// normalization, whose sums the stage computes.
#pragma once

#include <ATen/ATen.h>

#include <tuple>
#include <vector>

#include "norm.h"

namespace tune_nas {

using at::Tensor;

// Indices of the numbers that Python lists for each stage: `StageNumber` in mix_layout.py.
enum StageNumber : int64_t {
  kStart,      // which input it starts from; -1 for the output of the stage before it
  kDepthwise,  // whether it has a depthwise convolution
  kDilation,
  kStride,
  kAffine,     // whether its normalization learns gain and bias
  kByBatch,    // whether its normalization uses the statistics of the batch
  kTracks,     // whether its normalization has running statistics
  kNumbers,    // their number
};

// The input of a stage is x, or norm(x) if `normal` is given. Returns the output y of the
// convolutions, and y's normalization as written by `Norm`.
std::tuple<Tensor, Tensor> stage_forward(const Tensor& x, const OptionalTensor& normal,
                                         const OptionalTensor& depthwise_weight, const Tensor& dense_weight,
                                         int64_t dilation, int64_t stride, const Norm& norm);

// A stage in evaluation: its normalization as written by `Norm`.
struct EvaluatedStage {
  OptionalTensor depthwise;
  Tensor dense, normal;
  int64_t dilation, stride;
};

// weight · norm(stages(x)); at least one stage.
struct EvaluatedChain {
  Tensor x;
  std::vector<EvaluatedStage> stages;
  double weight;
};

// out = the sum of the chains, or it is added to it; nothing is kept.
void evaluate_chains(const std::vector<EvaluatedChain>& chains, Tensor out, bool add);

// A stage in the backward pass of weight · factor · norm(stage(x)), with a factor (n,) for each image, or 1.
struct BackwardStage {
  Tensor g, sums, y, normal;  // `sums` (2, channels) are those of factor · g and of factor · g · y
  double weight;
  bool by_batch;
  Tensor x;
  OptionalTensor normal_before, depthwise;
  Tensor dense;
  int64_t dilation, stride;
  bool weights;  // whether the gradients of its weights are needed
  Tensor gx;     // the gradient of x (of norm(x), if `normal_before` is given) is written to it, or added
  bool add;
  OptionalTensor factors;
};

// The gradients of the depthwise and the dense weights (empty without `weights`), of the normalization's
// gain and bias, the sums of gx and gx · x if `normal_before` is given, and the gradient of weight.
struct StageGradients {
  Tensor depthwise, dense, norm, sums;
  double weight;
};

// The backward passes of stages that do not depend on one another, a few images at a time: what several
// of them read or add to stays in the cache. Those that have the same gx add to it in their order.
std::vector<StageGradients> stages_backward(const std::vector<BackwardStage>& stages);

}  // namespace tune_nas
