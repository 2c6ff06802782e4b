"""Gradient norm: how strongly the loss of a minibatch acts on the initial weights.

Abdelfattah, Mehrotra, Dudziak and Lane, "Zero-Cost Proxies for Lightweight NAS", ICLR 2021,
arXiv:2101.08134. Reimplemented.

With L the mean cross-entropy of a minibatch at initialization, the score is

    Σ ‖∂L/∂W‖₂   over the weights W of convolutions and linear layers,

one norm for each layer, without biases and batch normalization, which uses batch statistics: as in
the authors' code.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tune_nas.proxies.network_proxy import NetworkProxy, weights_of
from tune_nas.spaces import Network


class GradNorm(NetworkProxy):
    """Sum over the layers of the norms of the loss's gradient."""

    @property
    def backward_images(self) -> int:
        """The minibatch."""
        return self.inputs.n_images

    def measure(self, network: Network) -> float:
        """Return the sum of norms."""
        return gradient_norms(network.train(), *self.inputs.batch())


def gradient_norms(module: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Return Σ ‖∂L/∂W‖₂ over the weights of a module.

    Args:
        module: The module, in the mode in which it runs.
        images: Images (n, channels, h, w), or what else the module takes.
        labels: Their classes, int64, (n,).
    """
    weights = weights_of(module)
    with torch.enable_grad():
        loss = F.cross_entropy(module(images), labels)
        gradients = torch.autograd.grad(loss, weights, allow_unused=True)
    return sum(
        float(torch.linalg.vector_norm(gradient, dtype=torch.float64))
        for gradient in gradients
        if gradient is not None
    )
