"""What a strategy asks for, and what it knows of each candidate."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from tune_nas.spaces import Genotype


@dataclass(frozen=True)
class Request:
    """A training job: train a candidate to a number of epochs.

    Args:
        number: Number of the job, in the order of requests, from 0.
        candidate: Number of the candidate, in the order of proposals, from 0.
        genotype: Its genotype.
        start: Epochs of the checkpoint that the training continues from; 0 to train from scratch.
        epochs: Epochs of training after the job, those of the checkpoint included.
    """

    number: int
    candidate: int
    genotype: Genotype
    start: int
    epochs: int

    @property
    def cost(self) -> int:
        """Number of epochs that the job trains."""
        return self.epochs - self.start


@dataclass
class Standing:
    """A candidate and what is known about it.

    Args:
        candidate: Its number.
        genotype: Its genotype.
        accuracies: Validation accuracy by epochs of training; −inf for a failed training.
        epochs: Epochs of training that were requested so far.
    """

    candidate: int
    genotype: Genotype
    accuracies: dict[int, float] = field(default_factory=dict)
    epochs: int = 0

    @property
    def trained(self) -> int:
        """Epochs of the last result; 0 without one."""
        return max(self.accuracies, default=0)

    @property
    def accuracy(self) -> float:
        """The last accuracy; −inf without one."""
        return self.accuracies.get(self.trained, -math.inf)

    @property
    def failed(self) -> bool:
        """Whether the last training failed."""
        return bool(self.accuracies) and self.accuracy == -math.inf

    @property
    def rank_key(self) -> tuple[bool, int, float, int]:
        """The key that sorts candidates with a result, best first: see `Strategy.ranking`."""
        return self.failed, -self.trained, -self.accuracy, self.candidate
