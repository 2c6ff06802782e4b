"""RANK-NOSH: non-uniform successive halving with a ranking predictor (Wang et al., 2108.08019)."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import cast

from tune_nas.predictor import Observation, Predictor
from tune_nas.rank_correlation import kendall_tau
from tune_nas.spaces import Genotype
from tune_nas.strategies.strategy import ProxyScore, Request, Standing, Strategy, StrategyInputs

_TRIES = 10  # samples per wanted genotype, until the space counts as exhausted


class RankNosh(Strategy):
    """Rounds of proposals that climb a pyramid of levels, ordered by a predictor.

    A round has these steps. All jobs of a level may run at the same time: the next decision waits
    until all of them are told, and is independent of their order.

    1. The predictor, trained on the pool, ranks ``sampled`` new genotypes. In the first round, they
       are in the order in which they were sampled.
    2. With a proxy, the first ⌈K / r⌉ of them join level 0, and the best K of level 0 by the proxy
       are the round's new candidates; without one, the first K are.
    3. The new candidates are trained to e(1). Then, for each next level i, the most accurate
       max(1, ⌊rⁱ⁻¹ K⌋) of all candidates waiting at level i − 1 are trained to e(i). The others
       keep their weights and compete again in the next round, as those of level 0 do.

    The rounds end when there are M candidates, or when the budget ends. docs/rank-nosh.md tells
    what is the paper's and what is our choice.

    Args:
        inputs: The space, the options, the seed and the proxy.

    Attributes:
        predictor: The predictor, as fitted at the start of the current round.
        round_correlations: Kendall's τ-b of each round between the predicted scores of the new
            candidates and their accuracies at e(1); None if it is undefined, as in the first round.
    """

    order_free = True

    def __init__(self, inputs: StrategyInputs) -> None:
        super().__init__(inputs)
        self.predictor = Predictor(
            self.architectures.space, self.config.predictor, self.inputs.seed
        )
        self.round_correlations: list[float | None] = []
        self._untrained: dict[str, Observation] = {}  # level 0, by what their networks compute
        self._level = 0  # in training; 0 before the first round
        self._jobs: deque[Genotype | Standing] = deque()
        self._predicted: dict[int, float] = {}  # of this round's new candidates

    def propose(self) -> Request | None:
        """Return the next job of the level in training; None until all of them are told."""
        if not self._jobs and not self.pending:
            self._plan()
        if not self._jobs:
            return None
        job, epochs = self._jobs.popleft(), self.config.levels[self._level - 1]
        return self.promotion(job, epochs) if isinstance(job, Standing) else self.new(job, epochs)

    def metrics(self) -> dict[str, float]:
        """Return ``predictor_tau``: Kendall's τ-b of the latest round in which it is defined."""
        defined = [tau for tau in self.round_correlations if tau is not None]
        return {"predictor_tau": defined[-1]} if defined else {}

    def observations(self) -> list[Observation]:
        """Return the pool of the predictor: level 0, then the candidates without failed ones."""
        levels = {epochs: number for number, epochs in enumerate(self.config.levels, 1)}
        trained = [
            Observation(standing.genotype, levels[standing.trained], standing.accuracy)
            for standing in self.standings
            if standing.accuracy > -math.inf
        ]
        return [*self._untrained.values(), *trained]

    def _plan(self) -> None:
        """Fill the jobs of the next level, or of a new round; of none if the search is over."""
        if self._level == 1 and self.standings:
            self._compare()
        while not self._jobs and 0 < self._level < len(self.config.levels):
            kept = self.config.nosh.keep**self._level * self.config.nosh.proposals
            count = max(1, math.floor(kept + 1e-9))  # 0.29 · 100 is 28.999… in binary
            self._jobs.extend(self._waiting(self._level)[:count])
            self._level += 1
        missing = self.config.nosh.pool - len(self.standings)
        if not self._jobs and missing > 0:
            self._level = 1
            self._jobs.extend(self._new_candidates(min(missing, self.config.nosh.proposals)))

    def _waiting(self, level: int) -> list[Standing]:
        """Return the candidates whose training ended at a level, most accurate first."""
        epochs = self.config.levels[level - 1]
        there = [
            standing
            for standing in self.standings
            if standing.epochs == epochs and standing.accuracy > -math.inf
        ]
        return sorted(there, key=lambda standing: -standing.accuracy)

    def _new_candidates(self, count: int) -> list[Genotype]:
        """Return the new candidates of a round, and note their predicted scores."""
        options, pool = self._options(), self.observations()
        is_fitted = bool(self.standings and pool)
        if is_fitted:
            self.predictor.fit(pool)
            options = [options[place] for place in self.predictor.rank(options)]
        chosen = options[:count] if self.inputs.proxy is None else self._by_proxy(options, count)
        scores = self.predictor.score(chosen).tolist() if is_fitted else []
        self._predicted = dict(enumerate(scores, len(self.standings)))
        return chosen

    def _by_proxy(self, options: Sequence[Genotype], count: int) -> list[Genotype]:
        """Add the first ⌈count / r⌉ options to level 0, and take the best of it by the proxy."""
        proxy = cast(ProxyScore, self.inputs.proxy)
        joining = math.ceil(count / self.config.nosh.keep - 1e-9)  # 7 / 0.7 is 10.000…2 in binary
        for genotype in options[:joining]:
            key = self.architectures.key(genotype)
            if key not in self._untrained:
                score = proxy(genotype)
                score = -math.inf if math.isnan(score) else score
                self._untrained[key] = Observation(genotype, 0, score)
        best = sorted(self._untrained, key=lambda key: -self._untrained[key].score)[:count]
        return [self._untrained.pop(key).genotype for key in best]

    def _options(self) -> list[Genotype]:
        """Return the genotypes that the predictor ranks: new ones, no two of which are equal."""
        wanted, rng = self.config.nosh.sampled, self.rng(f"round {len(self.round_correlations)}")
        best = [each.genotype for each in self.ranking() if each.accuracy > -math.inf]
        parents = best[: self.config.nosh.proposals]
        has_neighbors = bool(parents) and self.architectures.size > 1
        mutations = has_neighbors and self.config.nosh.propose == "mutation"
        found: dict[str, Genotype] = {}
        for mutates in (True, False) if mutations else (False,):  # samples, if neighbors run out
            for _ in range(_TRIES * wanted):
                if len(found) == wanted:
                    break
                genotype = (
                    self.architectures.mutate(rng.choice(parents), rng)
                    if mutates
                    else self.architectures.sample(rng)
                )
                if self.is_new(genotype):
                    found.setdefault(self.architectures.key(genotype), genotype)
        return list(found.values())

    def _compare(self) -> None:
        """Note the rank correlation of the predictions for this round's new candidates."""
        epochs = self.config.levels[0]
        pairs = [
            (score, self.standings[candidate].accuracies[epochs])
            for candidate, score in self._predicted.items()
        ]
        finite = [(score, accuracy) for score, accuracy in pairs if accuracy > -math.inf]
        tau = kendall_tau([score for score, _ in finite], [value for _, value in finite])
        self.round_correlations.append(tau)
