"""Regularized evolution: the best of a sample of the population is mutated, and the oldest dies."""

from __future__ import annotations

from tune_nas.spaces import Genotype
from tune_nas.strategies.strategy import Request, Standing, Strategy


class RegularizedEvolution(Strategy):
    """Regularized (aging) evolution (Real et al. 2019, arXiv:1802.01548, Algorithm 1).

    The first P candidates are random. Each later candidate is a mutation of the best of S members
    of the population, which are sampled with replacement, as in the paper. The population is the P
    youngest candidates, so every candidate dies, however accurate it is.

    Our choices: the mutation is a uniformly sampled neighbor (one edge changes its operation or
    its source); the paper changes an operation or an input with equal probability. No computation
    is trained twice: a neighbor that an earlier candidate computes is not sampled, and if none is
    left, or every sampled member failed, the new candidate is random. With concurrent jobs, age is
    the order of proposals, and the population consists of candidates with a result.

    The first P candidates depend on the seed alone. The later ones depend on which results are
    known when they are asked for: they are reproducible with one job at a time.
    """

    def propose(self) -> Request | None:
        """Return the job of a random candidate, then those of mutations."""
        size = self.config.evolution.population
        if len(self.standings) < size:
            genotype = self.sample_new(self.rng(f"candidate {len(self.standings)}"))
        elif not all(standing.accuracies for standing in self.standings[:size]):
            return None
        else:
            known = [standing for standing in self.standings if standing.accuracies]
            genotype = self._child(known[-size:])
        return None if genotype is None else self.new(genotype, self.config.levels[-1])

    def _child(self, population: list[Standing]) -> Genotype | None:
        rng = self.rng(f"candidate {len(self.standings)}")
        sample = [rng.choice(population) for _ in range(self.config.evolution.sample_size)]
        parent = min(sample, key=lambda standing: (-standing.accuracy, standing.candidate))
        child = None if parent.failed else self.mutate_new(parent.genotype, rng)
        return self.sample_new(rng) if child is None else child
