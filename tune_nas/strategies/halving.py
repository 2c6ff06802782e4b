"""Successive halving: the best part of a bracket is trained longer, level by level."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from tune_nas.strategies.strategy import Request, Standing, Strategy

_ROUNDING = 1e-9  # 33 / 1.1 is 30, but slightly less in floating point


def kept(count: int, reduction_factor: float) -> int:
    """Return ⌊count / reduction_factor⌋, the number of a level's candidates that continue."""
    return math.floor(count / reduction_factor + _ROUNDING)


def best(rung: Sequence[Standing], epochs: int, count: int) -> list[Standing]:
    """Return the most accurate candidates of a level, best first, without failed trainings.

    Args:
        rung: Candidates with a result of the level.
        epochs: The epochs of the level.
        count: Number of candidates; failed ones among them are left out, not replaced.
    """
    ordered = sorted(rung, key=lambda s: (-s.accuracies[epochs], s.candidate))
    return [standing for standing in ordered[:count] if standing.accuracies[epochs] > -math.inf]


class SuccessiveHalving(Strategy):
    """Successive halving (Jamieson and Talwalkar 2016, arXiv:1502.07943), bracket by bracket.

    A bracket has n = ``candidates`` random candidates. All are trained to the first level, the best
    ⌊n / ``reduction_factor``⌋ of them to the second, and so on, at least one at every level; ties
    go to the earlier candidate. When all jobs of a bracket have results, the next one starts.

    The paper derives the epochs of each level from the budget of one bracket. Here the levels and n
    are given, and the number of brackets follows from the budget; the last one may be incomplete.
    """

    order_free = True

    def propose(self) -> Request | None:
        """Return the next job of the bracket, or the first of the next one."""
        size = self.config.halving.candidates
        if len(self.standings) % size and (request := self._sampled()):
            return request
        rung = self.standings[(len(self.standings) - 1) // size * size :] if self.standings else []
        for epochs, more in pairwise(self.config.levels):
            if not all(epochs in standing.accuracies for standing in rung):
                return None
            rung = best(rung, epochs, max(1, kept(len(rung), self.config.halving.reduction_factor)))
            waiting = [standing for standing in rung if standing.epochs < more]
            if waiting:
                return self.promotion(waiting[0], more)
        return None if self.pending else self._sampled()

    def _sampled(self) -> Request | None:
        genotype = self.sample_new(self.rng(f"candidate {len(self.standings)}"))
        return None if genotype is None else self.new(genotype, self.config.levels[0])
