"""Losses of a predictor: pairwise ranking, and regression of the accuracy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import softplus

from tune_nas.predictor.pool import Observation


class PredictorLoss(ABC):
    """A loss of the scores of a pool.

    It is built once per pool, so that whatever depends only on the pool is computed once. Custom
    losses are named ``module:Class`` in ``strategy.predictor.loss``.

    Args:
        pool: The n observations.
    """

    def __init__(self, pool: Sequence[Observation]) -> None:
        self.pool = pool

    @abstractmethod
    def __call__(self, scores: Tensor) -> Tensor:
        """Return the loss, a scalar.

        Args:
            scores: The predictor's scores of the pool's genotypes, in order, (n,).
        """


def pairs(pool: Sequence[Observation]) -> Tensor:
    """Return all pairs of a pool with a winner as indices (2, pairs): winners, then losers.

    Between levels, the higher level wins; within a level, the higher score. Two with the same level
    and score are no pair.
    """
    levels = torch.tensor([each.level for each in pool])
    values = torch.tensor([each.score for each in pool], dtype=torch.float64)
    above = levels[:, None] > levels
    better = (levels[:, None] == levels) & (values[:, None] > values)
    return (above | better).nonzero().T


class Ranking(PredictorLoss):
    """Binary cross-entropy of score differences over all pairs of the pool (RANK-NOSH).

    L = mean over the pairs (a, b), of which a wins, of −log σ(s(a) − s(b)); 0 without pairs.
    """

    def __init__(self, pool: Sequence[Observation]) -> None:
        super().__init__(pool)
        self._winners, self._losers = pairs(pool)

    def __call__(self, scores: Tensor) -> Tensor:
        """Return the loss, a scalar."""
        margins = scores[self._winners] - scores[self._losers]
        return softplus(-margins).sum() / max(1, len(margins))


class Regression(PredictorLoss):
    """Mean squared error of the standardized accuracies.

    L = mean over trained candidates a of (s(a) − (y(a) − μ) / σ)², with y the accuracy at the
    highest level that the candidate reached (our choice: levels are not told apart), and μ and σ
    the mean and the standard deviation of all y. Observations of level 0 have no accuracy and are
    left out; 0 if nothing is left.
    """

    def __init__(self, pool: Sequence[Observation]) -> None:
        super().__init__(pool)
        rows = [row for row, each in enumerate(pool) if each.level > 0]
        values = torch.tensor([pool[row].score for row in rows], dtype=torch.float64)
        self._rows = torch.tensor(rows, dtype=torch.long)
        centered = values - values.mean() if rows else values
        spread = centered.square().mean().sqrt() if rows else values
        self._targets = centered / spread if rows and spread > 0 else centered

    def __call__(self, scores: Tensor) -> Tensor:
        """Return the loss, a scalar."""
        errors = scores[self._rows] - self._targets.to(scores.dtype)
        return errors.square().sum() / max(1, len(errors))
