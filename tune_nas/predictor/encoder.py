"""The abstract base class of encoders: genotypes to scores."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from tune_nas.config.strategy_config import PredictorConfig
from tune_nas.spaces import Genotype, Space


class Encoder(nn.Module):
    """A network that scores genotypes; only the order of the scores matters.

    Custom encoders are named ``module:Class`` in ``strategy.predictor.encoder``.

    Args:
        space: The space of the genotypes.
        config: The section ``strategy.predictor`` of the trial.
    """

    def __init__(self, space: Space, config: PredictorConfig) -> None:
        super().__init__()
        self.space, self.config = space, config

    @abstractmethod
    def encode(self, genotypes: Sequence[Genotype]) -> Any:
        """Return n genotypes as the batch that `forward` takes."""

    @abstractmethod
    def forward(self, batch: Any) -> Tensor:
        """Return the scores of a batch, (n,); higher is better."""


def make_mlp(sizes: Sequence[int]) -> nn.Sequential:
    """Return linear layers of these sizes with ReLU between them."""
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
