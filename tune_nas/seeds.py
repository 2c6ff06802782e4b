"""Independent random streams from the one seed of a trial."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

Generators = Callable[[int, str, torch.device], torch.Generator]
"""Gives the generator of one purpose of a pass: its seed, the purpose, the device."""


_BUILDING = threading.Lock()  # torch's own generator is all threads' in common


@contextmanager
def building(seed: int | None = None) -> Iterator[None]:
    """Let modules that are built in the block draw their weights, from a seed if it matters.

    They draw from torch's own generator, on the CPU. It is put back, and until then no other thread
    builds.
    """
    with _BUILDING, torch.random.fork_rng(devices=[]):
        if seed is not None:
            torch.manual_seed(seed)
        yield


def derive_seed(seed: int, purpose: str) -> int:
    """Return a seed in [0, 2⁶³) for one purpose, unrelated to those of other purposes and seeds."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def make_generator(seed: int, purpose: str) -> torch.Generator:
    """Return a generator on the CPU for one purpose of a trial."""
    return torch.Generator().manual_seed(derive_seed(seed, purpose))


def new_generator(seed: int, purpose: str, device: torch.device) -> torch.Generator:
    """Return a new generator on a device for one purpose of a pass with that seed."""
    return torch.Generator(device).manual_seed(derive_seed(seed, purpose))
