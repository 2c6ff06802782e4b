"""Batch normalization with the statistics of the batches of all workers of a retraining run."""

from __future__ import annotations

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

from tune_nas.stability import experimental


def synchronize_norms(network: nn.Module, device: torch.device) -> None:
    """Let the batch normalization layers of a network use the statistics of all workers.

    The layers are replaced; weights and statistics are the same tensors, under the same names.
    torch's own layer, used on a GPU, rejects tensors on a CPU.

    Args:
        network: The network, on its device.
        device: The device.
    """
    for name, layer in list(network.named_children()):
        if not isinstance(layer, _BatchNorm):
            synchronize_norms(layer, device)
        elif device.type == "cuda":
            setattr(network, name, norm_of_torch(layer))
        else:
            setattr(network, name, CpuSyncBatchNorm.of(layer))


@experimental("Retraining on several GPUs", "not yet run on several GPUs")
def norm_of_torch(layer: nn.Module) -> nn.Module:
    """Return torch's synchronized batch normalization with the tensors of a layer, for GPUs."""
    return nn.SyncBatchNorm.convert_sync_batchnorm(layer)  # type: ignore[no-untyped-call,no-any-return]


class CpuSyncBatchNorm(_BatchNorm):
    """Batch normalization that averages mean and variance over the workers; for any device.

    Every worker has an equal number of images. The result and the gradients are those of
    `torch.nn.BatchNorm2d` for the images of all workers.
    """

    @classmethod
    def of(cls, layer: _BatchNorm) -> CpuSyncBatchNorm:
        """Return a layer with the weights, statistics and options of another one."""
        new = cls(
            layer.num_features, layer.eps, layer.momentum, layer.affine, layer.track_running_stats
        )
        for name, tensor in (*layer._parameters.items(), *layer._buffers.items()):
            setattr(new, name, tensor)
        return new.train(layer.training)

    def _check_input_dim(self, input: Tensor) -> None:
        """Accept any number of dimensions."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the normalized values, of the shape of the input (n, channels, …)."""
        if self.track_running_stats and not self.training:
            return super().forward(input)
        values = input.to(torch.promote_types(input.dtype, torch.float32))
        return self._normalized(values).to(input.dtype)

    def _normalized(self, x: Tensor) -> Tensor:
        """Return values normalized by the statistics of the batch, which are tracked."""
        dims = [0, *range(2, x.dim())]
        shape = [1, -1] + [1] * (x.dim() - 2)
        mean = mean_over_workers(x.mean(dims))
        centered = x - mean.view(shape)
        variance = mean_over_workers(centered.square().mean(dims))
        if self.track_running_stats:
            count = distributed.get_world_size() * x.numel() // x.shape[1]
            self._keep(mean.detach(), variance.detach() * (count / (count - 1)))
        scale = (variance + self.eps).rsqrt()
        if not self.affine:
            return centered * scale.view(shape)
        return centered * (scale * self.weight).view(shape) + self.bias.view(shape)

    def _keep(self, mean: Tensor, variance: Tensor) -> None:
        """Update the running statistics with those of a batch; the variance is unbiased."""
        count, kept_mean, kept_variance = (
            self.num_batches_tracked,
            self.running_mean,
            self.running_var,
        )
        assert count is not None and kept_mean is not None and kept_variance is not None
        count.add_(1)
        share = 1.0 / float(count) if self.momentum is None else self.momentum
        kept_mean.lerp_(mean, share)
        kept_variance.lerp_(variance, share)


def mean_over_workers(values: Tensor) -> Tensor:
    """Return the mean of a tensor over the workers; it can be differentiated.

    The gradient is that of the sum of the losses of all workers.
    """
    mean: Tensor = _Mean.apply(values)  # type: ignore[no-untyped-call]
    return mean


class _Mean(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, values: Tensor) -> Tensor:
        return _averaged(values)

    @staticmethod
    def backward(ctx: object, *grads: Tensor) -> Tensor:
        return _averaged(grads[0])


def _averaged(values: Tensor) -> Tensor:
    total = values.clone(memory_format=torch.contiguous_format)
    distributed.all_reduce(total)
    return total.div_(distributed.get_world_size())
