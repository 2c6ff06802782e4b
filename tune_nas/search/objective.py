"""The loss of a supernet as a function of (w, α), and its gradients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from tune_nas.search.expected_cost import ExpectedCost
from tune_nas.search.relaxation import Relaxation
from tune_nas.search.rng import Draws
from tune_nas.spaces import MixingWeights, Supernet

Batch = tuple[Tensor, Tensor]
"""Images (n, channels, height, width) and labels (n,)."""


class SeededBatch(NamedTuple):
    """A batch and the seed of all random values of the supernet's pass on it.

    Passes that need the same samples, e.g. those of a finite difference, share the seed.
    """

    images: Tensor
    labels: Tensor
    seed: int | None


Gradients = list[Tensor | None]
"""One per parameter; None if the loss does not depend on it."""


class Found(NamedTuple):
    """Results of a pass: loss (), logits (n, classes), and gradients, empty if not requested.

    The gradients are in the order of ``weight_list`` and of ``alpha_list``.
    """

    loss: Tensor
    logits: Tensor
    weights: Gradients
    alphas: Gradients


@dataclass(frozen=True)
class Objective:
    """Cross-entropy of the relaxed supernet: the L(w, α) of all update strategies.

    Args:
        supernet: Holds w; called as ``supernet(images, mixing weights)``.
        relaxation: Maps α to mixing weights.
        alphas: α by cell type; leaves that require gradients.
        betas: β by cell type, likewise; empty without edge normalization.
        draws: Source of the seeds and generators of passes.
        bfloat16: Whether the supernet runs in mixed precision (autocast).
        cost: The penalty on expected multiply-adds; None without it.
    """

    supernet: nn.Module
    relaxation: Relaxation
    alphas: Mapping[str, Tensor]
    betas: Mapping[str, Tensor] = field(default_factory=dict)
    draws: Draws = field(default_factory=Draws)
    bfloat16: bool = False
    cost: ExpectedCost | None = None

    @cached_property
    def weight_list(self) -> list[Tensor]:
        """The parameters w, in the order of their gradients."""
        return list(self.supernet.parameters())

    @property
    def alpha_list(self) -> list[Tensor]:
        """The parameters α, then β, in the order of their gradients."""
        return [*self.alphas.values(), *self.betas.values()]

    def seeded(self, batch: Batch | SeededBatch) -> SeededBatch:
        """Return the batch with the seed of a new pass over it, from the checkpointed generator."""
        return SeededBatch(batch[0], batch[1], self.draws.seed())

    def mixing(self, batch: Batch | SeededBatch, *, for_alphas: bool = True) -> MixingWeights:
        """Return the mixing weights of a pass: sampled with its seed, or expected without one.

        Args:
            batch: Images and labels, and the seed of the pass.
            for_alphas: Whether the pass computes ∇α; if not, the weights are those of
                `Relaxation.for_weights`.
        """
        relaxation = self.relaxation if for_alphas else self.relaxation.for_weights()
        return relaxation.weights(self.alphas, self.betas, _seed(batch), self.draws.generator)

    def loss(
        self,
        batch: Batch | SeededBatch,
        weights: Sequence[Tensor] | None = None,
        mixing: MixingWeights | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the mean loss and the logits (n, classes), at w or at other weights.

        Args:
            batch: Images and labels, and the seed of the pass.
            weights: Tensors to use instead of w, in the order of ``weight_list``.
            mixing: Mixing weights to use instead of those of α.
        """
        images, labels = batch[0], batch[1]
        seed = _seed(batch)
        if seed is not None and isinstance(self.supernet, Supernet):
            self.supernet.seed_draws(seed, self.draws.generator)
        mixing = self.mixing(batch) if mixing is None else mixing
        precision = (
            torch.autocast(images.device.type, torch.bfloat16) if self.bfloat16 else nullcontext()
        )
        with precision:
            if weights is None:
                logits = self.supernet(images, mixing)
            else:
                names = [name for name, _ in self.supernet.named_parameters()]
                replaced = dict(zip(names, weights, strict=True))
                logits = functional_call(self.supernet, replaced, (images, mixing))
        if self.bfloat16:  # bfloat16 is too coarse for the loss
            logits = logits.float()
        return F.cross_entropy(logits, labels), logits

    def differentiate(
        self,
        batch: Batch | SeededBatch,
        *,
        weights: bool,
        alphas: bool,
        mixing: MixingWeights | None = None,
    ) -> Found:
        """Run one pass: compute the loss at w and the requested gradients.

        Args:
            batch: Images and labels, and the seed of the pass.
            weights: Whether to compute ∇w; if not, no part of it is computed.
            alphas: Whether to compute ∇α and ∇β.
            mixing: Mixing weights to use instead of those of α.
        """
        of_weights = self.weight_list if weights else []
        of_alphas = self.alpha_list if alphas else []
        mixing = self.mixing(batch, for_alphas=alphas) if mixing is None else mixing
        if not alphas:
            mixing = {name: cell.detached() for name, cell in mixing.items()}
        with _frozen([] if weights else self.weight_list):
            loss, logits = self.loss(batch, mixing=mixing)
            found = gradients(loss, of_weights + of_alphas)
        n = len(of_weights)
        return Found(loss.detach(), logits.detach(), found[:n], found[n:])

    def predict(self, images: Tensor, mixing: MixingWeights) -> Tensor:
        """Return the logits (n, classes) of images at w, in the current mode of the supernet."""
        logits: Tensor = self.supernet(images, mixing)
        return logits

    def penalty(self) -> Gradients:
        """Return the gradient of the penalties in α's loss; all None without one."""
        terms = [self.relaxation.penalty(self.alphas), self._expected_cost()]
        present = [term for term in terms if term is not None]
        if not present:
            return [None] * len(self.alpha_list)
        return gradients(sum(present[1:], start=present[0]), self.alpha_list)

    def _expected_cost(self) -> Tensor | None:
        """Return the penalty on expected multiply-adds; None if α does not change it."""
        if self.cost is None:
            return None
        cost = self.cost(self.relaxation.weights(self.alphas, self.betas))
        return cost if cost.requires_grad else None

    def keeping_activations(self) -> AbstractContextManager[None]:
        """Let no pass in the block recompute its activations: gradients are differentiated."""
        supernet = self.supernet
        return supernet.keeping_activations() if isinstance(supernet, Supernet) else nullcontext()

    @contextmanager
    def at(self, weights: Sequence[Tensor]) -> Iterator[None]:
        """Set w to other values temporarily; restore w and the running statistics bit for bit."""
        parameters = self.weight_list
        kept = _copies(parameters)
        with self.keeping_statistics():
            _assign(parameters, weights)
            try:
                yield
            finally:
                _assign(parameters, kept)

    @contextmanager
    def keeping_statistics(self) -> Iterator[None]:
        """Restore the running statistics of batch normalization after forward passes."""
        with keeping_statistics(self.supernet):
            yield


@contextmanager
def keeping_statistics(supernet: nn.Module) -> Iterator[None]:
    """Restore the running statistics of a supernet after forward passes."""
    buffers = list(supernet.buffers())
    kept = _copies(buffers)
    try:
        yield
    finally:
        _assign(buffers, kept)


@contextmanager
def _frozen(parameters: Sequence[Tensor]) -> Iterator[None]:
    """Disable the gradients of parameters temporarily."""
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


def gradients(
    loss: Tensor,
    parameters: Sequence[Tensor],
    *,
    create_graph: bool = False,
    retain_graph: bool | None = None,
) -> Gradients:
    """Return d loss / d parameter for each parameter; None if the loss does not depend on it."""
    return list(
        torch.autograd.grad(
            loss,
            list(parameters),
            create_graph=create_graph,
            retain_graph=retain_graph,
            allow_unused=True,
        )
    )


def combine(terms: Sequence[tuple[float | Tensor, Gradients]]) -> Gradients:
    """Return Σ factor · gradient over the terms; exact for a single term with factor 1.

    The value of a factor that is a tensor, (), is not read.
    """
    total: Gradients = [None] * len(terms[0][1])
    for factor, term in terms:
        for index, gradient in enumerate(term):
            if gradient is None:
                continue
            is_one = not isinstance(factor, Tensor) and factor == 1
            scaled = gradient if is_one else gradient * factor
            before = total[index]
            total[index] = scaled if before is None else before + scaled
    return total


def norm(tensors: Gradients) -> Tensor:
    """Return the joint Euclidean norm of all tensors."""
    present = [tensor for tensor in tensors if tensor is not None]
    return torch.nn.utils.get_total_norm(present)


def _seed(batch: Batch | SeededBatch) -> int | None:
    return batch.seed if isinstance(batch, SeededBatch) else None


def _copies(tensors: Sequence[Tensor]) -> list[Tensor]:
    copies = [torch.empty_like(tensor, requires_grad=False) for tensor in tensors]
    _assign(copies, tensors)
    return copies


def _assign(targets: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    """Copy values, grouped by type to save kernel launches on a GPU."""
    with torch.no_grad():
        for dtype in {target.dtype for target in targets}:
            pairs = [
                (target, value)
                for target, value in zip(targets, values, strict=True)
                if target.dtype == dtype
            ]
            torch._foreach_copy_([target for target, _ in pairs], [value for _, value in pairs])
