"""ASHA: successive halving without waiting for a level to be complete."""

from __future__ import annotations

from itertools import pairwise

from tune_nas.strategies.halving import best, kept
from tune_nas.strategies.strategy import Request, Strategy


class Asha(Strategy):
    """Asynchronous successive halving (Li et al. 2020, arXiv:1810.05934, Algorithm 2).

    Whenever a job is asked for, the levels are searched from the last but one to the first for a
    candidate that is among the best ⌊n / ``reduction_factor``⌋ of the n candidates with a result
    of this level, and was not promoted; the best such candidate is promoted. If there is none, a
    random candidate is trained to the first level. Ties go to the earlier candidate; a candidate
    whose training failed counts in n, but is never promoted (both our choice).

    A promotion depends on which results are known when a job is asked for. Therefore the search is
    reproducible with one job at a time; with more, the order of the results decides.
    """

    def propose(self) -> Request | None:
        """Return the highest promotion that is due, or the job of a new sample."""
        factor = self.config.halving.reduction_factor
        for epochs, more in reversed(list(pairwise(self.config.levels))):
            rung = [standing for standing in self.standings if epochs in standing.accuracies]
            for standing in best(rung, epochs, kept(len(rung), factor)):
                if standing.epochs == epochs:
                    return self.promotion(standing, more)
        genotype = self.sample_new(self.rng(f"candidate {len(self.standings)}"))
        return None if genotype is None else self.new(genotype, self.config.levels[0])
