"""Bit-for-bit comparison of the states of searches."""

from __future__ import annotations

from collections.abc import Mapping

import torch

UNEQUAL_BY_NATURE = ("seconds", "memory_mib")


def differences(one: object, other: object, where: str = "state") -> list[str]:
    """Return every place where two nested states differ, compared bit for bit, in their order."""
    if isinstance(one, torch.Tensor) or isinstance(other, torch.Tensor):
        return [] if _equal(one, other) else [where]
    if isinstance(one, Mapping):
        if not isinstance(other, Mapping) or one.keys() != other.keys():
            return [where]
        keys = [key for key in one if key not in UNEQUAL_BY_NATURE]
        return [d for key in keys for d in differences(one[key], other[key], f"{where}.{key}")]
    if isinstance(one, list | tuple):
        if not isinstance(other, list | tuple) or len(one) != len(other):
            return [where]
        pairs = enumerate(zip(one, other, strict=True))
        return [d for i, (a, b) in pairs for d in differences(a, b, f"{where}[{i}]")]
    return [] if one == other or (one != one and other != other) else [where]


def _equal(one: object, other: object) -> bool:
    """Return whether two values are tensors of the same type, shape and values."""
    if not isinstance(one, torch.Tensor) or not isinstance(other, torch.Tensor):
        return False
    return one.dtype == other.dtype and torch.equal(one, other)
