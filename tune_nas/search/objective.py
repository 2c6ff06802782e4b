"""The loss of a supernet as a function of (w, α), and its gradients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from tune_nas.search.relaxation import Relaxation

Batch = tuple[Tensor, Tensor]
"""Images (n, channels, height, width) and labels (n,)."""

Gradients = list[Tensor | None]
"""One per parameter; None where the loss does not depend on it."""


@dataclass(frozen=True)
class Objective:
    """Cross-entropy of the relaxed supernet: the L(w, α) of all update strategies.

    Args:
        supernet: Holds w; called as ``supernet(images, mixing weights)``.
        relaxation: Maps α to mixing weights.
        alphas: α by cell type; leaves that require gradients.
    """

    supernet: nn.Module
    relaxation: Relaxation
    alphas: Mapping[str, Tensor]

    @property
    def weight_list(self) -> list[Tensor]:
        """The parameters w, in the order in which gradients are given."""
        return list(self.supernet.parameters())

    @property
    def alpha_list(self) -> list[Tensor]:
        """The parameters α, in the order in which gradients are given."""
        return list(self.alphas.values())

    def loss(self, batch: Batch, weights: Sequence[Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """Return the mean loss and the logits (n, classes), at w or at other weights.

        Args:
            batch: Images and labels.
            weights: Tensors to use in the place of w, in the order of ``weight_list``.
        """
        images, labels = batch
        mixing = self.relaxation.weights(self.alphas)
        if weights is None:
            logits = self.supernet(images, mixing)
        else:
            names = [name for name, _ in self.supernet.named_parameters()]
            replaced = dict(zip(names, weights, strict=True))
            logits = functional_call(self.supernet, replaced, (images, mixing))
        return F.cross_entropy(logits, labels), logits

    @contextmanager
    def at(self, weights: Sequence[Tensor]) -> Iterator[None]:
        """Hold w at other values; w and the running statistics are put back to the bit."""
        parameters = self.weight_list
        kept = [parameter.detach().clone() for parameter in parameters]
        with self.keeping_statistics():
            _assign(parameters, weights)
            try:
                yield
            finally:
                _assign(parameters, kept)

    @contextmanager
    def keeping_statistics(self) -> Iterator[None]:
        """Undo what forward passes do to the running statistics of batch normalisation."""
        buffers = list(self.supernet.buffers())
        kept = [buffer.clone() for buffer in buffers]
        try:
            yield
        finally:
            _assign(buffers, kept)


def gradients(
    loss: Tensor,
    parameters: Sequence[Tensor],
    *,
    create_graph: bool = False,
    retain_graph: bool | None = None,
) -> Gradients:
    """Return d loss / d parameter for each parameter, None where there is no dependence."""
    return list(
        torch.autograd.grad(
            loss,
            list(parameters),
            create_graph=create_graph,
            retain_graph=retain_graph,
            allow_unused=True,
        )
    )


def combine(terms: Sequence[tuple[float, Gradients]]) -> Gradients:
    """Return Σ factor · gradient over the terms; factor 1 and a single term change no bit."""
    total: Gradients = [None] * len(terms[0][1])
    for factor, term in terms:
        for index, gradient in enumerate(term):
            if gradient is None:
                continue
            scaled = gradient if factor == 1 else gradient * factor
            before = total[index]
            total[index] = scaled if before is None else before + scaled
    return total


def norm(tensors: Gradients) -> Tensor:
    """Return the Euclidean norm over all tensors together."""
    present = [tensor for tensor in tensors if tensor is not None]
    return torch.nn.utils.get_total_norm(present)


def _assign(targets: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    with torch.no_grad():
        for target, value in zip(targets, values, strict=True):
            target.copy_(value)
