"""Independent random streams from the one seed of a trial."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

Generators = Callable[[int, str, torch.device], torch.Generator]
"""Returns the generator for one purpose of a pass, given its seed, the purpose and the device."""


_BUILDING = threading.RLock()  # torch's global generator is shared by all threads


@contextmanager
def building(seed: int | None = None) -> Iterator[None]:
    """Build modules in the block with reproducible initial weights, if a seed is given.

    They use torch's global generator on the CPU. It is restored afterwards; until then, no other
    thread builds modules.
    """
    with _BUILDING, torch.random.fork_rng(devices=[]):
        if seed is not None:
            torch.manual_seed(seed)
        yield


def derive_seed(seed: int, purpose: str) -> int:
    """Return a seed in [0, 2⁶³) for one purpose, independent of other purposes and seeds."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def make_generator(seed: int, purpose: str) -> torch.Generator:
    """Return a CPU generator for one purpose of a trial."""
    return torch.Generator().manual_seed(derive_seed(seed, purpose))


def new_generator(seed: int, purpose: str, device: torch.device) -> torch.Generator:
    """Return a new generator on a device for one purpose of a pass with this seed."""
    return torch.Generator(device).manual_seed(derive_seed(seed, purpose))
