"""A predictor of the order of genotypes, trained on a pool."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim import Adam

from tune_nas.config.strategy_config import PredictorConfig
from tune_nas.predictor.encoder import Encoder
from tune_nas.predictor.losses import PredictorLoss
from tune_nas.predictor.pool import Observation
from tune_nas.seeds import building, derive_seed
from tune_nas.spaces import Genotype, Space
from tune_nas.user_code import load_class


class Predictor:
    """An encoder and the loss with which it is trained.

    A fit depends only on the seed and the pool: it starts from the initial weights. torch's global
    random state is restored.

    Args:
        space: The space of the genotypes.
        config: The section ``strategy.predictor`` of the trial.
        seed: Seed of the initial weights, and of whatever a custom encoder samples.

    Raises:
        ConfigError: If a custom encoder or loss cannot be imported, or is not such a class.
    """

    def __init__(self, space: Space, config: PredictorConfig, seed: int) -> None:
        self.config, self.seed = config, seed
        encoder = load_class("strategy.predictor.encoder", config.encoder, Encoder)
        self._loss = load_class("strategy.predictor.loss", config.loss, PredictorLoss)
        with building(derive_seed(seed, "predictor")):
            self.encoder: Encoder = encoder(space, config)
        self._initial = copy.deepcopy(self.encoder.state_dict())

    def fit(self, pool: Sequence[Observation]) -> float:
        """Train on a pool, a full-batch step of Adam per epoch; return the last step's loss.

        Args:
            pool: The observations; at least one.
        """
        config, loss_of = self.config, self._loss(pool)
        self.encoder.load_state_dict(self._initial)
        batch = self.encoder.encode([each.genotype for each in pool])
        optimizer = Adam(
            self.encoder.parameters(), config.learning_rate, weight_decay=config.weight_decay
        )
        loss = torch.zeros(())
        with building(derive_seed(self.seed, "fit")):
            self.encoder.train()
            for _ in range(config.epochs):
                loss = loss_of(self.encoder(batch))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        return float(loss.detach())

    def score(self, genotypes: Sequence[Genotype]) -> Tensor:
        """Return the scores of n genotypes, (n,); higher is better."""
        if not genotypes:
            return torch.zeros(0)
        self.encoder.eval()
        with torch.no_grad():
            scores: Tensor = self.encoder(self.encoder.encode(genotypes))
        return scores

    def rank(self, genotypes: Sequence[Genotype]) -> list[int]:
        """Return the positions of genotypes in the order of their scores, best first."""
        return self.score(genotypes).argsort(descending=True, stable=True).tolist()
