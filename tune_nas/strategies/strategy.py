"""The abstract base class of black-box search strategies, and what goes in and out of them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from tune_nas.config.strategy_config import StrategyConfig
from tune_nas.errors import ConfigError
from tune_nas.spaces import Genotype
from tune_nas.spaces.architectures import Architectures
from tune_nas.strategies.candidate_pool import CandidatePool
from tune_nas.strategies.job_rules import fault_of
from tune_nas.strategies.training_job import Request, Standing

__all__ = ["ProxyScore", "Request", "Standing", "Strategy", "StrategyInputs"]

ProxyScore = Callable[[Genotype], float]
"""Returns the training-free score of a genotype; higher is better."""


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
    proxy: ProxyScore | None = None


class Strategy(CandidatePool, ABC):
    """A black-box search: it asks for training jobs and hears their accuracies.

    Every decision is a function of the inputs and of the order of calls, so a search is resumed by
    repeating its calls (`ask` and `tell`) on a new object: `tune_nas.strategies.History`. No two
    candidates have networks that compute the same. Random numbers come from `rng`, whose purpose
    names the decision, so no state of a generator outlives a call. A custom class gets
    ``strategy.options`` as keyword arguments after ``inputs``.

    Args:
        inputs: The space, the section ``strategy`` and the seed.

    Attributes:
        order_free: Class attribute: whether the requests depend neither on the number of jobs
            that are trained at a time nor on the order of their results.
        standings: All candidates, by number.
        spent: Training epochs requested so far.
    """

    order_free: ClassVar[bool] = False

    def __init__(self, inputs: StrategyInputs) -> None:
        super().__init__(inputs.architectures, inputs.seed)
        self.inputs, self.config = inputs, inputs.config
        self.spent = 0
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

        Raises:
            ConfigError: If the strategy proposes a job that breaks the rules.
        """
        if self._over:
            return None
        wanted = self.propose()
        if wanted is None:
            self._over = not self._pending
            return None
        self._check(wanted)
        if self.spent + wanted.cost > self.config.budget:
            self._over = True
            return None
        if wanted.candidate == len(self.standings):
            self.add(wanted.genotype)
        self.standings[wanted.candidate].epochs = wanted.epochs
        self.spent += wanted.cost
        self._requests += 1
        self._pending[wanted.number] = wanted
        return wanted

    def tell(self, request: Request, accuracy: float | None) -> None:
        """Take the validation accuracy after a job; None or NaN if its training failed.

        Raises:
            ValueError: If the request was not returned by `ask`, or was answered before.
        """
        if self._pending.get(request.number) != request:
            asked = request.number < self._requests and request.number not in self._pending
            why = "was answered before" if asked else "was not returned by ask()"
            raise ValueError(f"request {request.number} {why}")
        del self._pending[request.number]
        value = -math.inf if accuracy is None or not math.isfinite(accuracy) else accuracy
        self.standings[request.candidate].accuracies[request.epochs] = value
        self.observe(request, value)

    def ranking(self) -> list[Standing]:
        """Return the candidates with a result, best first.

        The longest trained come first, then the most accurate, then the earliest. Those whose last
        training failed come last.
        """
        known = [standing for standing in self.standings if standing.accuracies]
        return sorted(known, key=lambda standing: standing.rank_key)

    @abstractmethod
    def propose(self) -> Request | None:
        """Return the next job, from `new` or `promotion`; None if there is none for now.

        None ends the search if no result is awaited. Returning None changes nothing: the next call
        returns None again, unless a result was told in between.
        """

    def observe(self, request: Request, accuracy: float) -> None:
        """Note a result, which is in ``standings`` already; −inf if the training failed."""

    def metrics(self) -> dict[str, float]:
        """Return the strategy's own metrics, by name; usually none."""
        return {}

    def new(self, genotype: Genotype, epochs: int) -> Request:
        """Return the job that trains a new candidate for some epochs."""
        return Request(self._requests, len(self.standings), genotype, 0, epochs)

    def promotion(self, standing: Standing, epochs: int) -> Request:
        """Return the job that trains a candidate longer.

        With ``strategy.promotion: restart`` it is trained from scratch, else from its checkpoint.
        """
        start = standing.epochs if self.config.promotion == "continue" else 0
        return Request(self._requests, standing.candidate, standing.genotype, start, epochs)

    def _check(self, wanted: object) -> None:
        """Reject a job that breaks the rules; only a wrong strategy proposes one.

        Raises:
            ConfigError: If it does.
        """
        if (fault := fault_of(wanted, self._requests, self, self.config)) is not None:
            raise ConfigError(f"strategy '{self.config.kind}': {fault}")
