"""Searches that share a process: each in a separate thread, with joint passes."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from tune_nas.search.capture import Capture
from tune_nas.search.objective import Batch, Found, Gradients, Objective, SeededBatch
from tune_nas.search.together.rendezvous import Rendezvous
from tune_nas.search.together.stack import Mixing, PassOutputs, PassResult, Stack
from tune_nas.spaces import MixingWeights, Supernet
from tune_nas.stability import experimental


class PassRequest(NamedTuple):
    """A pass requested by a search."""

    supernet: Supernet
    wanted: PassOutputs
    images: Tensor
    labels: Tensor | None
    mixing: Mixing


@experimental("Searches that share a process", "slower on a CPU, and not yet run on a GPU")
class Together:
    """Runs equal kinds of passes of the searches of one process jointly.

    Passes are of equal kind if their supernets have the same build (space, channels, cells), their
    batches the same size, and their gradients are the same. w, α, λ, learning rates and seeds may
    differ. Passes without an equal one, or with sampling inside the supernet, run separately.
    Results equal those of a separate search up to rounding: the order of sums depends on the number
    of joint passes.

    Args:
        capture: Captures frequent passes; None for none.
    """

    def __init__(self, capture: Capture | None = None) -> None:
        self._capture = capture
        self._meeting: Rendezvous[PassRequest, PassResult | None] = Rendezvous(self._answer)
        self._hollows: dict[str, Supernet] = {}
        self._stacks: WeakKeyDictionary[Supernet, Stack] = WeakKeyDictionary()
        self.stacked_passes = 0

    @contextmanager
    def attended(self) -> Iterator[None]:
        """Run an epoch of one of the searches in the block; the others wait for its passes."""
        with self._meeting.attended():
            yield

    def ask(self, asked: PassRequest) -> PassResult | None:
        """Return the results of a pass, each tensor without K; None if it must run separately."""
        return self._meeting.ask(_kind(asked), asked)

    def _answer(self, group: Sequence[PassRequest]) -> Sequence[PassResult | None]:
        if len(group) == 1:
            return [None]
        # in a fixed order, so that the same searches find the same stack
        members = sorted(group, key=lambda asked: id(asked.supernet))
        stack = self._stack_of([asked.supernet for asked in members])
        labels = [asked.labels for asked in members if asked.labels is not None]
        given = stack.run(
            members[0].wanted,
            torch.stack([asked.images for asked in members]),
            torch.stack(labels) if labels else None,
            {
                cell: {
                    field: torch.stack([asked.mixing[cell][field] for asked in members])
                    for field in fields
                }
                for cell, fields in members[0].mixing.items()
            },
        )
        self.stacked_passes += 1
        places = {asked.supernet: place for place, asked in enumerate(members)}
        return [_of(given, places[asked.supernet]) for asked in group]

    def _stack_of(self, supernets: Sequence[Supernet]) -> Stack:
        stack = self._stacks.get(supernets[0])
        # some of its members may have moved to another one
        there = stack is not None and all(self._stacks.get(each) is stack for each in supernets)
        if stack is None or not there or stack.size != len(supernets):
            build = supernets[0].build
            if build not in self._hollows:
                self._hollows[build] = supernets[0].meta_copy()
            stack = Stack(supernets, self._hollows[build], self._capture)
            self._stacks.update(dict.fromkeys(supernets, stack))
        return stack


@dataclass(frozen=True)
class SharedObjective(Objective):
    """The objective of a search that runs jointly with others.

    Args:
        together: The searches of the process.
    """

    together: Together = field(kw_only=True)

    def differentiate(
        self,
        batch: Batch | SeededBatch,
        *,
        weights: bool,
        alphas: bool,
        mixing: MixingWeights | None = None,
    ) -> Found:
        """See `Objective.differentiate`."""
        mixing = self.mixing(batch, for_alphas=alphas) if mixing is None else mixing
        asked = self._asked(batch[0], batch[1], mixing, weights=weights, alphas=alphas)
        given = self._ask(asked)
        if asked is None or given is None or given.losses is None:
            return super().differentiate(batch, weights=weights, alphas=alphas, mixing=mixing)
        of_alphas = self._chained(mixing, asked.wanted.mixing, given.mixing) if alphas else []
        return Found(given.losses, given.logits, given.weights, of_alphas)

    def _chained(
        self, mixing: MixingWeights, fields: Sequence[tuple[str, str]], found: Gradients
    ) -> Gradients:
        """Return ∇α from the gradients of mixing weights, through α's graph."""
        pairs = [
            (getattr(mixing[cell], field), gradient)
            for (cell, field), gradient in zip(fields, found, strict=True)
            if gradient is not None
        ]
        if not pairs:
            return [None] * len(self.alpha_list)
        tensors, of_mixing = zip(*pairs, strict=True)
        return list(torch.autograd.grad(tensors, self.alpha_list, of_mixing, allow_unused=True))

    def predict(self, images: Tensor, mixing: MixingWeights) -> Tensor:
        """See `Objective.predict`."""
        asked = self._asked(images, None, mixing, weights=False, alphas=False)
        given = self._ask(asked)
        return super().predict(images, mixing) if given is None else given.logits

    def _ask(self, asked: PassRequest | None) -> PassResult | None:
        return None if asked is None else self.together.ask(asked)

    def _asked(
        self,
        images: Tensor,
        labels: Tensor | None,
        mixing: MixingWeights,
        *,
        weights: bool,
        alphas: bool,
    ) -> PassRequest | None:
        """Return a pass to request; None if it cannot run jointly with others."""
        supernet = self.supernet
        if not isinstance(supernet, Supernet) or supernet.draws:
            return None
        if supernet.recomputes and labels is not None:  # a joint pass would keep everything
            return None
        tensors = {cell: of_cell.tensors() for cell, of_cell in mixing.items()}
        differentiable = tuple(
            (cell, field)
            for cell, fields in tensors.items()
            for field, tensor in fields.items()
            if alphas and tensor.requires_grad
        )
        active = tuple((cell, of_cell.running()) for cell, of_cell in mixing.items())
        wanted = PassOutputs(
            labels is not None,
            weights,
            differentiable,
            active,
            self.bfloat16 and labels is not None,
            supernet.training,
            supernet.skip_weight,
        )
        return PassRequest(supernet, wanted, images, labels, tensors)


def _kind(asked: PassRequest) -> Hashable:
    """Return the kind of a pass; passes of equal kind can run jointly."""
    fields = tuple((cell, tuple(fields)) for cell, fields in asked.mixing.items())
    images = asked.images
    where = (images.shape, images.dtype, images.device)
    return (asked.supernet.build, asked.wanted, fields, where)


def _of(given: PassResult, place: int) -> PassResult:
    """Return the results for one of the supernets."""
    return PassResult(
        given.logits[place],
        None if given.losses is None else given.losses[place],
        [None if gradient is None else gradient[place] for gradient in given.weights],
        [None if gradient is None else gradient[place] for gradient in given.mixing],
    )
