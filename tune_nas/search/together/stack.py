"""Supernets of one build in one memory, and a pass of all of them at once.

`torch.func.vmap` turns the operations of one supernet into those of many: convolutions of K
supernets become grouped ones, of K times the channels.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call, vmap

from tune_nas.search.graphs import WARM_UP, Capture
from tune_nas.spaces import CellWeights, MixingWeights, Supernet

Mixing = dict[str, dict[str, Tensor]]
"""The tensors of mixing weights, by cell type and field."""

FIELDS = ("operations", "edges", "offsets")  # of CellWeights; `active` is no tensor to be stacked


class Wanted(NamedTuple):
    """What a pass of many supernets is to give.

    Args:
        labels: Whether there are labels, and so losses and gradients.
        weights: The gradients of w.
        mixing: The fields whose gradients are wanted, as (cell type, field).
        active: `CellWeights.active` by cell type, as nested tuples.
        bfloat16: Whether it runs in mixed precision.
        training: Whether the supernets are in train mode.
    """

    labels: bool
    weights: bool
    mixing: tuple[tuple[str, str], ...]
    active: tuple[tuple[str, Any], ...]
    bfloat16: bool
    training: bool


class Given(NamedTuple):
    """What a pass of many supernets gives, each with K in front; gradients None where none are."""

    logits: Tensor
    losses: Tensor | None
    weights: list[Tensor | None]
    mixing: list[Tensor | None]


class Stack:
    """Supernets of one build, their weights and running statistics in one memory.

    The parameters and buffers of each become views of it, so that an optimiser which moves a
    supernet in place moves it here. A supernet is in one stack at a time.

    Args:
        supernets: K of them, alike in `Supernet.build`.
        capture: Captures what is run often on a device; None for none.
    """

    def __init__(self, supernets: Sequence[Supernet], capture: Capture | None = None) -> None:
        self.supernets = list(supernets)
        self._hollow = self.supernets[0].hollow()
        self._capture = capture
        self._runs: dict[Hashable, int] = {}
        self._captured: dict[Hashable, _Captured] = {}
        self._weights, self._statistics = (
            {name: _one_memory([each[name] for each in held]) for name in held[0]}
            for held in (
                [dict(supernet.named_parameters()) for supernet in self.supernets],
                [dict(supernet.named_buffers()) for supernet in self.supernets],
            )
        )

    def run(self, wanted: Wanted, images: Tensor, labels: Tensor | None, mixing: Mixing) -> Given:
        """Run all supernets once.

        Args:
            wanted: What is to be given.
            images: (K, n, channels, height, width).
            labels: (K, n); None for logits alone.
            mixing: Each tensor with K in front.
        """
        names = [(cell, field) for cell, fields in mixing.items() for field in fields]
        active = {
            cell: None if rows is None else torch.tensor(rows) for cell, rows in wanted.active
        }

        def function(*inputs: Tensor) -> Given:
            held: Mixing = {}
            for (cell, field), tensor in zip(names, inputs[2:], strict=True):
                held.setdefault(cell, {})[field] = tensor
            return self._pass(wanted, active, inputs[0], inputs[1] if wanted.labels else None, held)

        inputs = [
            images,
            images.new_empty(0) if labels is None else labels,
            *(mixing[cell][field] for cell, field in names),
        ]
        if self._capture is None:
            return function(*inputs)
        key = (wanted, tuple(names), tuple(images.shape))
        if key not in self._captured:
            self._runs[key] = self._runs.get(key, 0) + 1
            if self._runs[key] <= WARM_UP:
                return function(*inputs)
            self._captured[key] = _Captured(function, inputs, self._capture)
        return self._captured[key](inputs)

    def _pass(
        self,
        wanted: Wanted,
        active: Mapping[str, Tensor | None],
        images: Tensor,
        labels: Tensor | None,
        mixing: Mixing,
    ) -> Given:
        self._hollow.train(wanted.training)
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
                return Given(logits, None, [], [])
            losses = vmap(F.cross_entropy)(logits, labels)
            total = losses.sum()
        of_weights = list(weights.values()) if wanted.weights else []
        of_mixing = [leaves[cell][field] for cell, field in wanted.mixing]
        # Each loss depends on its own supernet alone, so the sum has the gradients of all.
        found = torch.autograd.grad(total, of_weights + of_mixing, allow_unused=True)
        n = len(of_weights)
        return Given(logits.detach(), losses.detach(), list(found[:n]), list(found[n:]))


class _Captured:
    """A pass that was captured; what it returns is a copy, since the next run writes over it."""

    def __init__(
        self, function: Callable[..., Given], inputs: Sequence[Tensor], capture: Capture
    ) -> None:
        self._inputs = [tensor.clone() for tensor in inputs]
        given: list[Given] = []

        def run() -> None:
            given[:] = [function(*self._inputs)]

        self._replay = capture(run, ())
        self._given = given[0]

    def __call__(self, inputs: Sequence[Tensor]) -> Given:
        for own, tensor in zip(self._inputs, inputs, strict=True):
            own.copy_(tensor)
        self._replay()
        held = self._given
        return Given(
            held.logits.clone(),
            None if held.losses is None else held.losses.clone(),
            _copies(held.weights),
            _copies(held.mixing),
        )


def _copies(tensors: Sequence[Tensor | None]) -> list[Tensor | None]:
    return [None if tensor is None else tensor.clone() for tensor in tensors]


def _one_memory(tensors: Sequence[Tensor]) -> Tensor:
    """Return tensors of one shape stacked, and make them views of what is returned."""
    stacked = torch.stack([tensor.detach() for tensor in tensors])
    for tensor, view in zip(tensors, stacked, strict=True):
        tensor.data = view
    return stacked
