"""A multilayer perceptron on path encodings, as in BANANAS (White et al., arXiv:1910.11858)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from tune_nas.config.strategy_config import PredictorConfig
from tune_nas.predictor.encoder import Encoder, make_mlp
from tune_nas.predictor.encoding import PathEncoding
from tune_nas.spaces import Genotype, Space


class Mlp(Encoder):
    """An MLP with ``depth`` hidden layers of ``width`` features and ReLU on the path encoding."""

    def __init__(self, space: Space, config: PredictorConfig) -> None:
        super().__init__(space, config)
        self.encoding = PathEncoding(space)
        self.layers = make_mlp([self.encoding.n_features, *[config.width] * config.depth, 1])

    def encode(self, genotypes: Sequence[Genotype]) -> Tensor:
        """Return the path encodings of n genotypes, (n, features)."""
        return self.encoding.encode(genotypes)

    def forward(self, batch: Tensor) -> Tensor:
        """Return the scores, (n,)."""
        scores: Tensor = self.layers(batch).squeeze(1)
        return scores
