"""A custom strategy: mutations of the best candidate so far, and now and then a random one.

Used as ``strategy: {kind: own_strategy:MutateTheBest, options: {explore: 0.2}}``.
"""

from __future__ import annotations

from tune_nas.errors import ConfigError
from tune_nas.strategies import Request, Strategy, StrategyInputs


class MutateTheBest(Strategy):
    """Mutates the most accurate candidate; with a certain probability, samples a random one.

    Args:
        inputs: The space, the section ``strategy`` and the seed.
        explore: Probability of a random candidate.
    """

    def __init__(self, inputs: StrategyInputs, explore: float = 0.1) -> None:
        super().__init__(inputs)
        if not 0 <= explore <= 1:
            raise ConfigError(f"strategy.options.explore is {explore}, but must be in [0, 1]")
        self.explore = explore

    def propose(self) -> Request | None:
        """Return the job of the next candidate; None if the space is exhausted."""
        rng = self.rng(f"candidate {len(self.standings)}")
        ranking, genotype = self.ranking(), None
        if ranking and rng.random() >= self.explore:
            genotype = self.mutate_new(ranking[0].genotype, rng)
        if genotype is None:  # the first one, or no neighbor is new
            genotype = self.sample_new(rng)
        return None if genotype is None else self.new(genotype, self.config.levels[-1])
