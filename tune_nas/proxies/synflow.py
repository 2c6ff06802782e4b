"""Synflow: the synaptic saliency of all weights, without data.

Tanaka, Kunin, Yamins and Ganguli, "Pruning neural networks without any data by iteratively
conserving synaptic flow", NeurIPS 2020, arXiv:2006.05467; its sum as a proxy: Abdelfattah,
Mehrotra, Dudziak and Lane, "Zero-Cost Proxies for Lightweight NAS", ICLR 2021, arXiv:2101.08134.
Reimplemented.

All parameters are replaced by their absolute values. With R the sum of the logits of one image of
ones, the saliency of a weight θ is θ · ∂R/∂θ, and the score is

    log Σ |θ · ∂R/∂θ|   over the weights of convolutions and linear layers,

without biases and batch normalization, as in both authors' code. Batch normalization runs in
evaluation mode with its initial statistics, where it only divides by √(1 + 1e-5); the code of
zero-cost NAS leaves it out. Theirs has no logarithm, which does not change the order.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from tune_nas.proxies.network_proxy import NetworkProxy, weights_of
from tune_nas.spaces import Network

_FLOAT64 = torch.finfo(torch.float64)


class Synflow(NetworkProxy):
    """Logarithm of the sum of synaptic saliencies, in float64."""

    @property
    def backward_images(self) -> int:
        """The image of ones."""
        return 1

    @property
    def dtype(self) -> torch.dtype:
        """The type with the largest range."""
        return torch.float64

    def measure(self, network: Network) -> float:
        """Return the score: at least −708.4, for a network whose logits ignore the image."""
        side = self.inputs.image_size
        return synaptic_flow(network, (self.inputs.in_channels, side, side))


def synaptic_flow(module: nn.Module, shape: tuple[int, ...]) -> float:
    """Return log Σ |θ · ∂R/∂θ| of a module, which is changed: absolute, float64, evaluation mode.

    The sum is bounded by the smallest and the largest normal float64, so the result is finite.

    Args:
        module: The module.
        shape: Shape of one input, without the batch dimension.
    """
    module.double().eval()
    weights = weights_of(module)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.abs_()
    ones = torch.ones(1, *shape, dtype=torch.float64, device=weights[0].device)
    with torch.enable_grad():
        flow = module(ones).sum()
        gradients = torch.autograd.grad(flow, weights, allow_unused=True)
    total = sum(
        float((weight.detach() * gradient).abs().sum())
        for weight, gradient in zip(weights, gradients, strict=True)
        if gradient is not None
    )
    if not math.isfinite(total):  # more layers than float64 has exponents for
        return math.log(_FLOAT64.max)
    return math.log(max(total, _FLOAT64.tiny))
