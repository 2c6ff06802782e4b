"""Bit-for-bit comparison of the states of retraining runs."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch


def assert_same(
    first: Any, second: Any, path: str = "state", *, ignored: Collection[str] = ()
) -> None:
    """Compare containers of numbers and tensors to the bit, but for clocks and memory.

    Args:
        first: A state.
        second: Another one.
        path: Where they are in a state, for the message.
        ignored: Further keys that may differ.
    """
    assert type(first) is type(second), path
    if isinstance(first, dict):
        assert first.keys() == second.keys(), path
        for key in first.keys() - {"seconds", "memory_mib", *ignored}:
            assert_same(first[key], second[key], f"{path}.{key}", ignored=ignored)
    elif isinstance(first, list | tuple):
        assert len(first) == len(second), path
        for index, pair in enumerate(zip(first, second, strict=True)):
            assert_same(*pair, f"{path}[{index}]", ignored=ignored)
    elif isinstance(first, torch.Tensor):
        assert torch.equal(first, second), path
    else:
        assert first == second, path
