"""The abstract base class of black-box search strategies, and what goes in and out of them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from tune_nas.config.strategy_config import StrategyConfig
from tune_nas.seeds import derive_seed
from tune_nas.spaces import Genotype
from tune_nas.spaces.architectures import Architectures

Proxy = Callable[[Genotype], float]
"""Returns the training-free score of a genotype; higher is better."""

_TRIES = 1000  # samples until the space counts as exhausted


@dataclass(frozen=True)
class Request:
    """A training job: train a candidate from its checkpoint to a number of epochs.

    Args:
        number: Number of the job, in the order of requests, from 0.
        candidate: Number of the candidate, in the order of proposals, from 0.
        genotype: Its genotype.
        start: Epochs for which it has been trained; 0 for a new candidate.
        epochs: Cumulative epochs after the job.
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
        accuracies: Validation accuracy by cumulative epochs; −inf for a failed training.
        epochs: Cumulative epochs that were requested so far.
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


@dataclass(frozen=True)
class StrategyInputs:
    """The inputs of a strategy.

    Args:
        architectures: The genotypes of the space.
        config: The section ``strategy`` of the trial.
        seed: Seed of everything that is sampled.
        proxy: The training-free proxy that the strategy's options name, if any.
    """

    architectures: Architectures
    config: StrategyConfig
    seed: int
    proxy: Proxy | None = None


class Strategy(ABC):
    """A black-box search: it asks for training jobs and hears their accuracies.

    Every decision is a function of the inputs and of the order of calls, so a search is resumed by
    repeating its calls (`ask` and `tell`) on a new object. No two candidates have networks that
    compute the same.

    Args:
        inputs: The space, the options and the seed.

    Attributes:
        standings: All candidates, by number.
        spent: Training epochs requested so far.
    """

    def __init__(self, inputs: StrategyInputs) -> None:
        self.architectures, self.config = inputs.architectures, inputs.config
        self.inputs = inputs
        self.standings: list[Standing] = []
        self.spent = 0
        self._keys: set[str] = set()
        self._pending: dict[int, Request] = {}
        self._requests = 0
        self._over = False

    @property
    def done(self) -> bool:
        """Whether nothing is left to ask, and every request was answered."""
        return self._over and not self._pending

    @property
    def pending(self) -> list[Request]:
        """The requests without an answer, in order."""
        return list(self._pending.values())

    def ask(self) -> Request | None:
        """Return the next training job; None if results are awaited, or the search is over.

        The search is over when the next job does not fit into the rest of the budget, when every
        computation of the space was proposed, or when the strategy ends.
        """
        if self._over:
            return None
        wanted = self.propose()
        if wanted is None:
            self._over = not self._pending
            return None
        genotype, candidate, epochs = wanted.genotype, wanted.candidate, wanted.epochs
        if self.spent + wanted.cost > self.config.budget:
            self._over = True
            return None
        if candidate == len(self.standings):
            self.standings.append(Standing(candidate, genotype))
            self._keys.add(self.architectures.key(genotype))
        self.standings[candidate].epochs = epochs
        self.spent += wanted.cost
        self._requests += 1
        self._pending[wanted.number] = wanted
        return wanted

    def tell(self, request: Request, accuracy: float | None) -> None:
        """Take the validation accuracy after a job; None or NaN if its training failed.

        Raises:
            ValueError: If the request is not pending.
        """
        if self._pending.pop(request.number, None) is None:
            raise ValueError(f"request {request.number} is not pending")
        failed = accuracy is None or math.isnan(accuracy)
        value = -math.inf if accuracy is None or failed else accuracy
        self.standings[request.candidate].accuracies[request.epochs] = value
        self.observe(request, value)

    def ranking(self) -> list[Standing]:
        """Return the candidates with a result, best first: longest trained, then most accurate."""
        known = [standing for standing in self.standings if standing.accuracies]
        return sorted(known, key=lambda s: (-s.trained, -s.accuracy, s.candidate))

    @abstractmethod
    def propose(self) -> Request | None:
        """Return the next job, from `new` or `promotion`; None if there is none for now.

        None ends the search if no result is awaited.
        """

    def observe(self, request: Request, accuracy: float) -> None:  # noqa: B027 (optional)
        """Note a result, which is in ``standings`` already; −inf if the training failed."""

    def new(self, genotype: Genotype, epochs: int) -> Request:
        """Return the job that trains a new candidate for some epochs."""
        return Request(self._requests, len(self.standings), genotype, 0, epochs)

    def promotion(self, standing: Standing, epochs: int) -> Request:
        """Return the job that continues the training of a candidate to some cumulative epochs."""
        return Request(
            self._requests, standing.candidate, standing.genotype, standing.epochs, epochs
        )

    def rng(self, purpose: str) -> Random:
        """Return a generator for one purpose, e.g. ``candidate 3``."""
        return Random(derive_seed(self.inputs.seed, purpose))

    def is_new(self, genotype: Genotype) -> bool:
        """Return whether no candidate so far computes the same."""
        return self.architectures.key(genotype) not in self._keys

    def sample_new(self, rng: Random) -> Genotype | None:
        """Return a sampled genotype that is new; None if none is found in many samples."""
        for _ in range(_TRIES):
            genotype = self.architectures.sample(rng)
            if self.is_new(genotype):
                return genotype
        return None
