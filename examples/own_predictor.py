"""A custom encoder and a custom loss for the predictor of RANK-NOSH.

Used as ``predictor: {encoder: own_predictor:OperationCounts, loss: own_predictor:NextBest}`` in the
section ``strategy``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from tune_nas.config.strategy_config import PredictorConfig
from tune_nas.predictor import Encoder, Observation, PredictorLoss
from tune_nas.spaces import Genotype, Space


class OperationCounts(Encoder):
    """Scores a genotype by a linear function of how often each operation occurs."""

    def __init__(self, space: Space, config: PredictorConfig) -> None:
        super().__init__(space, config)
        cells = space.cells.values()
        self.names = sorted({name for cell in cells for edge in cell.operations for name in edge})
        self.layer = nn.Linear(len(self.names), 1)

    def encode(self, genotypes: Sequence[Genotype]) -> Tensor:
        """Return the counts of n genotypes, (n, operations)."""
        rows = []
        for genotype in genotypes:
            found = [edge.operation for cell in genotype.cells.values() for edge in cell.edges]
            rows.append([float(found.count(name)) for name in self.names])
        return torch.tensor(rows)

    def forward(self, batch: Tensor) -> Tensor:
        """Return the scores, (n,)."""
        scores: Tensor = self.layer(batch).squeeze(1)
        return scores


class NextBest(PredictorLoss):
    """Compares each candidate only with the next one of the ranking, instead of with all."""

    def __init__(self, pool: Sequence[Observation]) -> None:
        super().__init__(pool)
        rows = sorted(range(len(pool)), key=lambda row: (pool[row].level, pool[row].score))
        self.worse, self.better = torch.tensor(rows[:-1]).long(), torch.tensor(rows[1:]).long()

    def __call__(self, scores: Tensor) -> Tensor:
        """Return the mean of −log σ(s(better) − s(worse)); 0 for fewer than two candidates."""
        margins = scores[self.better] - scores[self.worse]
        return softplus(-margins).sum() / max(1, len(margins))
