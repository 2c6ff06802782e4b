"""Random search: every candidate is sampled uniformly and trained fully."""

from __future__ import annotations

from tune_nas.strategies.strategy import Request, Strategy


class RandomSearch(Strategy):
    """Uniform samples of the space, each trained for the epochs of the last level."""

    order_free = True

    def propose(self) -> Request | None:
        """Return the job of a new sample."""
        genotype = self.sample_new(self.rng(f"candidate {len(self.standings)}"))
        return None if genotype is None else self.new(genotype, self.config.levels[-1])
