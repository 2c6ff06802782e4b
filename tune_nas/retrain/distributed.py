"""A retraining run in several processes, each with its part of every batch.

The processes ("workers") have joined a process group of `torch.distributed`. All of them sample the
same batches, augmentation and dropped paths, and use their parts. Batch normalization is
synchronized and gradients are averaged, so a run gives the same result with any number of workers,
up to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from tune_nas.retrain.compiled import Output
from tune_nas.retrain.synchronized_norm import synchronize_norms
from tune_nas.spaces import Network


@dataclass(frozen=True)
class Workers:
    """This process among the workers of a retraining run.

    Args:
        rank: Its number, from 0.
        size: Number of workers.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def joined(cls) -> Workers:
        """Return the workers of the default process group; without one, this process alone."""
        if not (distributed.is_available() and distributed.is_initialized()):
            return cls()
        return cls(distributed.get_rank(), distributed.get_world_size())

    def rows(self, batch_size: int, parts: int = 1) -> list[int]:
        """Return the positions in a batch of the images that are those of this worker.

        Args:
            batch_size: Images of the batch.
            parts: Number of parts that are run one after the other; the workers share each of them.
        """
        positions = torch.arange(batch_size).view(parts, self.size, -1)
        rows: list[int] = positions[:, self.rank].flatten().tolist()
        return rows

    def add(self, counts: Tensor) -> Tensor:
        """Return the sum of a tensor over the workers."""
        if self.size == 1:
            return counts
        total = counts.clone()
        distributed.all_reduce(total)
        return total


class DistributedPass:
    """The forward pass of training steps; backward then averages gradients over the workers.

    Args:
        network: The network; its batch normalization is replaced by a synchronized one.
        workers: The workers.
        device: Device of the network.
    """

    def __init__(self, network: Network, workers: Workers, device: torch.device) -> None:
        synchronize_norms(network, device)
        # The graph is the same in every step; some genotypes have operations that reach no output.
        self._run = DistributedDataParallel(_Part(network, workers), static_graph=True)

    def __call__(self, images: Tensor) -> Output:
        """Return the output of the network for a part of a batch (n, in_channels, h, w)."""
        output: Output = self._run(images)
        return output


class _Part(nn.Module):
    """A network that samples dropped paths for a whole batch, and runs a part of it."""

    def __init__(self, network: Network, workers: Workers) -> None:
        super().__init__()
        self.network, self.workers = network, workers

    def forward(self, images: Tensor) -> Output:
        kept = self.network.draw_kept(images, self.workers.rank, self.workers.size)
        return self.network.run(images, kept)
