"""Differences between the tensors of a replay and those of the same function, run eagerly.

On a CPU they must be equal bit for bit. On a GPU some operations add in no fixed order, and a
library may choose another algorithm while it is captured, so they may differ by rounding: their
distance must be within the tolerance of the Triton kernels' check, relative to the change that a
run makes to a tensor. Relative to its value, a wrong step would pass, since a step changes little.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import keystr, tree_flatten_with_path

from tune_nas.native import TOLERANCE


class Place(NamedTuple):
    """A tensor in the state or the result of a function.

    Args:
        kind: Its kind, e.g. α.
        name: Its name among those of its kind.
    """

    kind: str
    name: str


class Difference(NamedTuple):
    """A difference between a replay and the eager run.

    Args:
        place: The tensor.
        distance: Euclidean distance; nan if it has none.
        allowed: The largest allowed distance; 0 if both must be equal bit for bit.
    """

    place: Place
    distance: float
    allowed: float

    @property
    def severity(self) -> tuple[float, float]:
        """The distance relative to the allowed one, and the distance; nan is the worst."""
        distance = math.inf if math.isnan(self.distance) else self.distance
        return (distance / self.allowed if self.allowed else math.inf, distance)

    def __str__(self) -> str:
        if math.isnan(self.distance):
            return f"{self.place.kind} ({self.place.name})"
        allowed = f", {self.allowed:.1e} allowed" if self.allowed else ""
        return f"{self.place.kind} ({self.place.name} by {self.distance:.1e}{allowed})"


def difference(place: Place, replayed: Tensor, truth: Tensor, change: Tensor) -> Difference | None:
    """Return the difference of two tensors; None if it is allowed.

    Args:
        place: What they are.
        replayed: The tensor of the replay.
        truth: That of the eager run.
        change: Norm, (), of the change that the eager run made, or of a result itself.
    """
    if bool(_same(replayed, truth).all()):
        return None
    allowed, tolerance = 0.0, tolerance_of(truth)
    if tolerance > 0:
        rounding = torch.finfo(truth.dtype).eps * torch.linalg.vector_norm(truth.double())
        allowed = float(tolerance * change + rounding)
    distance = float(distance_of(replayed, truth))
    return None if distance < allowed else Difference(place, distance, allowed)


def tolerance_of(tensor: Tensor) -> float:
    """Return the allowed distance of a tensor relative to its change; 0 for bit-for-bit equality.

    Exact are all tensors on a CPU, and counters and labels on a GPU.
    """
    return TOLERANCE.get(tensor.dtype, 0.0) if tensor.is_cuda else 0.0


def distance_of(one: Tensor, other: Tensor) -> Tensor:
    """Return the Euclidean distance of two tensors, (); equal infinities and nan have none."""
    gap = one.double() - other.double()
    gap = torch.where(_same(one, other), 0.0, gap)
    distance: Tensor = torch.linalg.vector_norm(gap)
    return distance


def _same(one: Tensor, other: Tensor) -> Tensor:
    return (one == other) | (one.isnan() & other.isnan())


def flat(state: Mapping[str, Mapping[str, Tensor]]) -> dict[Place, Tensor]:
    """Return the tensors of a state by place."""
    return {
        Place(kind, name): tensor
        for kind, tensors in state.items()
        for name, tensor in tensors.items()
    }


def flat_result(result: object) -> dict[Place, Tensor]:
    """Return the tensors of a result by place: those of nested containers."""
    leaves, _ = tree_flatten_with_path(result)
    named = ((keystr(path).lstrip(".") or "value", leaf) for path, leaf in leaves)
    return {Place("result", name): leaf for name, leaf in named if isinstance(leaf, Tensor)}


def in_words(found: list[Difference]) -> str:
    """Return differences in one line: the worst of each kind."""
    worst: dict[str, Difference] = {}
    for each in found:
        known = worst.get(each.place.kind)
        if known is None or each.severity > known.severity:
            worst[each.place.kind] = each
    return "its first replay differs from an eager run in " + ", ".join(map(str, worst.values()))
