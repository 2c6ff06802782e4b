"""Bit-for-bit comparison of the states of searches."""

from __future__ import annotations

from collections.abc import Mapping

import torch

UNEQUAL_BY_NATURE = ("seconds", "memory_mib")


def differences(one: object, other: object, where: str = "state") -> list[str]:
    """Return where two nested states differ, compared bit for bit."""
    if isinstance(one, torch.Tensor):
        assert isinstance(other, torch.Tensor), where
        return [] if torch.equal(one, other) else [where]
    if isinstance(one, Mapping):
        assert isinstance(other, Mapping), where
        assert one.keys() == other.keys(), where
        keys = [key for key in one if key not in UNEQUAL_BY_NATURE]
        return [d for key in keys for d in differences(one[key], other[key], f"{where}.{key}")]
    if isinstance(one, list | tuple):
        assert isinstance(other, list | tuple), where
        assert len(one) == len(other), where
        pairs = enumerate(zip(one, other, strict=True))
        return [d for i, (a, b) in pairs for d in differences(a, b, f"{where}[{i}]")]
    return [] if one == other or (one != one and other != other) else [where]
