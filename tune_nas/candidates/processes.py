"""The processes that train candidates at the same time, and what they tell each other."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import distributed

from tune_nas.checkpoint import State
from tune_nas.retrain.distributed import Workers

Own = TypeVar("Own")


@dataclass(frozen=True)
class Processes:
    """This process among those that run one search, each with other candidates.

    Args:
        rank: Its number, from 0.
        size: Number of processes.
        group: Their group, of the backend gloo; None for the default one.
    """

    rank: int = 0
    size: int = 1
    group: distributed.ProcessGroup | None = None

    @classmethod
    def joined(cls) -> Processes:
        """Return the processes of the default process group; without one, this process alone.

        All processes must call it.
        """
        workers = Workers.joined()
        if workers.size == 1 or distributed.get_backend() == "gloo":
            return cls(workers.rank, workers.size)
        return cls(workers.rank, workers.size, distributed.new_group(backend="gloo"))

    def shared(self, own: Own) -> list[Own]:
        """Return what all processes pass, by number; it waits for them."""
        if self.size == 1:
            return [own]
        found: list[Own | None] = [None] * self.size
        distributed.all_gather_object(found, own, group=self.group)
        return [each for each in found if each is not None]

    def gathered(self, own: State) -> State:
        """Return the entries that all processes pass, in the first; in the others, their own.

        Args:
            own: Entries by name; no two processes have the same names.
        """
        buffer = io.BytesIO()
        torch.save(own, buffer)
        found: list[bytes | None] | None = [None] * self.size if self.rank == 0 else None
        distributed.gather_object(buffer.getvalue(), found, group=self.group)
        entries = dict(own)
        for content in (found or [])[1:]:
            assert content is not None
            stream = io.BytesIO(content)
            entries |= torch.load(stream, weights_only=True, map_location="cpu")
        return entries
