"""NASWOT: how differently a network's ReLUs divide the images of a minibatch.

Mellor, Turner, Storkey and Crowley, "Neural Architecture Search without Training", ICML 2021,
arXiv:2006.04647v3. Reimplemented. (The first version of the paper scored the correlations of the
Jacobian instead, which other works call "jacobian covariance"; this is the published one.)

The code of an image is a bit for each of the network's N ReLU units: 1 if its input is positive.
With d_H(i, j) the number of bits in which images i and j differ, the kernel is

    K_H = [N − d_H(i, j)], (n, n), and the score is log |K_H|.

Weights are initial ones, the images are not augmented, and batch normalization uses batch
statistics, as in the authors' code. That only counts ReLUs on which the logits depend in its
graph, where ``none`` is a multiplication with 0 and therefore counts as a dependence; here every
ReLU that runs counts. A singular kernel (two images with equal codes, e.g. where no path leads
through the cells) has log 0 = −∞ there, or what rounding makes of it. Here its score is its rank
minus n, from −n to −1: below every regular kernel, as |K_H| ≥ 1 for a regular matrix of integers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from tune_nas.proxies.network_proxy import NetworkProxy
from tune_nas.spaces import Network

_RELUS = frozenset((F.relu, torch.relu, torch.relu_, torch.Tensor.relu, torch.Tensor.relu_))


class Naswot(NetworkProxy):
    """Logarithm of the determinant of the kernel of ReLU codes."""

    @property
    def forward_images(self) -> int:
        """The minibatch."""
        return self.inputs.n_images

    def measure(self, network: Network) -> float:
        """Return the score of a minibatch."""
        images, _ = self.inputs.batch()
        return log_determinant(relu_kernel(network.train(), images))


class _AddAgreement(TorchFunctionMode):
    """Adds up, over all ReLUs in the block, the number of equal bits of each pair of images."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.kernel = torch.zeros(n, n, dtype=torch.float64)

    def __torch_function__(
        self,
        func: Callable[..., Tensor],
        types: Iterable[type],
        args: tuple[Tensor, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> Tensor:
        if func in _RELUS:
            # Of N products of signs, the equal bits give 1 and the others −1. Exact in float32 up
            # to 2²⁴ units of one layer.
            signs = 2.0 * (args[0].flatten(1) > 0).float() - 1.0
            self.kernel += ((signs @ signs.T).double().cpu() + signs.shape[1]) / 2
        return func(*args, **(kwargs or {}))


def relu_kernel(module: nn.Module, images: Tensor) -> Tensor:
    """Return K_H, float64, (n, n), on the CPU: whole numbers.

    Args:
        module: The module, in the mode in which it runs.
        images: Images (n, channels, h, w), or what else the module takes.
    """
    agreement = _AddAgreement(len(images))
    with torch.no_grad(), agreement:
        module(images)
    return agreement.kernel


def log_determinant(kernel: Tensor) -> float:
    """Return log |K| of a regular kernel, and rank − n of a singular one.

    Args:
        kernel: K, symmetric positive semidefinite, whole numbers in float64, (n, n).
    """
    values = torch.linalg.eigvalsh(kernel)
    n = len(kernel)
    rank = int((values > values[-1] * n * torch.finfo(torch.float64).eps).sum())
    return float(values.log().sum()) if rank == n else float(rank - n)
