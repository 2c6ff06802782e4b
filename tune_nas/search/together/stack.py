"""Supernets of one build with shared memory, and joint passes of all of them.

`torch.func.vmap` turns the operations of one supernet into those of several: convolutions of K
supernets become grouped ones with K times the channels.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call, vmap

from tune_nas.search.capture import Capture
from tune_nas.search.captured_functions import CapturedFunctions
from tune_nas.spaces import CellWeights, MixingWeights, Supernet

Mixing = dict[str, dict[str, Tensor]]
"""The tensors of mixing weights, by cell type and field."""


class PassOutputs(NamedTuple):
    """The requested results of a pass of several supernets.

    Args:
        labels: Whether there are labels, and thus losses and gradients.
        weights: Whether to compute the gradients of w.
        mixing: The fields whose gradients are requested, as (cell type, field).
        active: `CellWeights.active` by cell type, as nested tuples.
        bfloat16: Whether it runs in mixed precision.
        training: Whether the supernets are in train mode.
        skip_weight: β of their auxiliary skip connections.
    """

    labels: bool
    weights: bool
    mixing: tuple[tuple[str, str], ...]
    active: tuple[tuple[str, Hashable], ...]
    bfloat16: bool
    training: bool
    skip_weight: float = 0.0


class PassResult(NamedTuple):
    """Results of a pass of several supernets, with leading dimension K; None if not requested."""

    logits: Tensor
    losses: Tensor | None
    weights: list[Tensor | None]
    mixing: list[Tensor | None]


class Stack:
    """Supernets of one build, with their weights and running statistics in one memory.

    The parameters and buffers of each become views of it, so that an optimizer's in-place update of
    a supernet applies here. A supernet is in one stack at a time.

    Args:
        supernets: K supernets, equal in `Supernet.build`.
        hollow: A supernet of this build on the meta device; the one that is run.
        capture: Captures frequent passes on a device; None for none.
    """

    def __init__(
        self, supernets: Sequence[Supernet], hollow: Supernet, capture: Capture | None
    ) -> None:
        # Weak references: an unused supernet is freed, though its position stays.
        self.size = len(supernets)
        self._hollow = hollow
        self._functions = CapturedFunctions(capture, "a pass of many searches")
        self._weights, self._statistics = (
            {name: _one_memory([each[name] for each in held]) for name in held[0]}
            for held in (
                [dict(supernet.named_parameters()) for supernet in supernets],
                [dict(supernet.named_buffers()) for supernet in supernets],
            )
        )

    def run(
        self, wanted: PassOutputs, images: Tensor, labels: Tensor | None, mixing: Mixing
    ) -> PassResult:
        """Run all supernets once.

        Args:
            wanted: The requested results.
            images: (K, n, channels, height, width).
            labels: (K, n); None for logits only.
            mixing: Each tensor with leading dimension K.
        """
        active = {
            cell: None if rows is None else torch.tensor(rows) for cell, rows in wanted.active
        }
        fields = tuple((cell, tuple(tensors)) for cell, tensors in mixing.items())
        key = (wanted, fields, tuple(images.shape))
        given: PassResult = self._functions.run(
            key,
            partial(self._pass, wanted, active),
            images,
            labels,
            mixing,
            state=lambda: self._statistics,
        )
        return given

    def _pass(
        self,
        wanted: PassOutputs,
        active: Mapping[str, Tensor | None],
        images: Tensor,
        labels: Tensor | None,
        mixing: Mixing,
    ) -> PassResult:
        self._hollow.train(wanted.training)
        self._hollow.skip_weight = wanted.skip_weight
        weights = {
            name: tensor.detach().requires_grad_(wanted.weights)
            for name, tensor in self._weights.items()
        }
        leaves = {
            cell: {
                field: tensor.detach().requires_grad_((cell, field) in wanted.mixing)
                for field, tensor in fields.items()
            }
            for cell, fields in mixing.items()
        }

        def one(
            weights: dict[str, Tensor],
            statistics: dict[str, Tensor],
            images: Tensor,
            mixing: Mixing,
        ) -> Tensor:
            cells: MixingWeights = {
                cell: CellWeights(**fields, active=active[cell]) for cell, fields in mixing.items()
            }
            logits: Tensor = functional_call(self._hollow, (weights, statistics), (images, cells))
            return logits

        precision = (
            torch.autocast(images.device.type, torch.bfloat16) if wanted.bfloat16 else nullcontext()
        )
        with torch.set_grad_enabled(wanted.labels), precision:
            logits = vmap(one)(weights, self._statistics, images, leaves)
            if labels is None:
                return PassResult(logits, None, [], [])
            losses = vmap(F.cross_entropy)(logits, labels)
            total = losses.sum()
        of_weights = list(weights.values()) if wanted.weights else []
        of_mixing = [leaves[cell][field] for cell, field in wanted.mixing]
        # Each loss depends only on its supernet, so the gradient of the sum has those of all.
        found = torch.autograd.grad(total, of_weights + of_mixing, allow_unused=True)
        n = len(of_weights)
        return PassResult(logits.detach(), losses.detach(), list(found[:n]), list(found[n:]))


def _one_memory(tensors: Sequence[Tensor]) -> Tensor:
    """Return the stack of tensors of one shape and make them views of it."""
    stacked = torch.stack([tensor.detach() for tensor in tensors])
    for tensor, view in zip(tensors, stacked, strict=True):
        tensor.data = view
    return stacked
