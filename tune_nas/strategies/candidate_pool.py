"""The candidates of a search: found by what they compute, sampled, and mutated."""

from __future__ import annotations

from random import Random

from tune_nas.seeds import derive_seed
from tune_nas.spaces import Genotype
from tune_nas.spaces.architectures import Architectures
from tune_nas.strategies.training_job import Standing

_TRIES = 1000  # samples until the space counts as exhausted


class CandidatePool:
    """The candidates of a search; no two of them have networks that compute the same.

    Args:
        architectures: The genotypes of the space.
        seed: Seed of everything that is sampled.

    Attributes:
        standings: All candidates, by number.
    """

    def __init__(self, architectures: Architectures, seed: int) -> None:
        self.architectures = architectures
        self.standings: list[Standing] = []
        self._seed = seed
        self._numbers: dict[str, int] = {}  # by the key of their computation
        self._exhausted = False

    def rng(self, purpose: str) -> Random:
        """Return a generator for one purpose, e.g. ``candidate 3``."""
        return Random(derive_seed(self._seed, purpose))

    def find(self, genotype: Genotype) -> Standing | None:
        """Return the candidate whose network computes the same; None if there is none."""
        number = self._numbers.get(self.architectures.key(genotype))
        return None if number is None else self.standings[number]

    def is_new(self, genotype: Genotype) -> bool:
        """Return whether no candidate so far computes the same."""
        return self.find(genotype) is None

    def sample_new(self, rng: Random) -> Genotype | None:
        """Return a sampled genotype that is new; None if none is found in many samples.

        The space then counts as exhausted for the rest of the search.
        """
        for _ in range(0 if self._exhausted else _TRIES):
            genotype = self.architectures.sample(rng)
            if self.is_new(genotype):
                return genotype
        self._exhausted = True
        return None

    def mutate_new(self, genotype: Genotype, rng: Random) -> Genotype | None:
        """Return a new neighbor of a genotype, sampled uniformly; None if no neighbor is new."""
        neighbors = list(self.architectures.neighbors(genotype))
        rng.shuffle(neighbors)
        return next(filter(self.is_new, neighbors), None)

    def add(self, genotype: Genotype) -> Standing:
        """Add a new candidate and return it."""
        standing = Standing(len(self.standings), genotype)
        self.standings.append(standing)
        self._numbers[self.architectures.key(genotype)] = standing.candidate
        return standing
