"""Lower w's learning rate while the genotype has too few learnable operations.

Hou and Jin, "Single-level Optimization For Differential Architecture Search", 2021: w learns too
fast for α if more than 0.3 of the operations have no parameters.
"""

from __future__ import annotations

from tune_nas.search.rules.rule import Rule
from tune_nas.search.statistics import genotype_counts
from tune_nas.search.view import SearchControl


class LowerRate(Rule):
    """Multiplies w's learning rate by a factor after each epoch that ends with too few of them.

    Inactive during the warm-up, when α, and thus the genotype, is still the initial one.

    Args:
        search: The search.
    """

    def __init__(self, search: SearchControl) -> None:
        super().__init__(search)
        assert search.trial.schedule.lr_rule is not None
        self.config = search.trial.schedule.lr_rule

    def after_epoch(self, metrics: dict[str, float]) -> None:
        """Lower the learning rate of the following epochs if due."""
        search, config = self.search, self.config
        if not search.moves_alphas(search.epoch - 1):
            return
        if genotype_counts(search.genotype)["non_learnable_share"] > config.share:
            search.scale_learning_rate(config.factor, config.floor)
