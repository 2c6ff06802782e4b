"""Measure the rank correlation of RANK-NOSH's predictor at each round of simulated searches.

    python benchmarks/predictor_by_round.py --table TABLE

At the start of each round after the first, the predictor has been trained on the pool. Two
correlations (Kendall's τ-b) are printed, means over the seeds: between the predicted scores of the
round's new candidates and their validation accuracies after the first level, which the strategy
notes itself (``round_correlations``), and between the scores and the test accuracies after 200
epochs of 500 cells, the same in every search, which no search can know.
"""

from __future__ import annotations

import argparse
import statistics
from collections import defaultdict
from pathlib import Path
from random import Random

import torch

from tune_nas.benchmark import load_trainings
from tune_nas.candidates.simulation import simulate
from tune_nas.candidates.simulation_cache import SimulationCache
from tune_nas.library import load_trial, parse_assignment
from tune_nas.rank_correlation import kendall_tau
from tune_nas.spaces import Genotype
from tune_nas.strategies import Request, StrategyInputs
from tune_nas.strategies.nosh import RankNosh

CELLS = 500
Rounds = dict[int, list[float]]


class Watched(RankNosh):
    """RANK-NOSH that scores the same cells at the start of each round."""

    def __init__(self, inputs: StrategyInputs, cells: list[Genotype]) -> None:
        super().__init__(inputs)
        self._cells = cells
        self.scores: list[list[float]] = []  # of each round after the first
        self.pools: list[int] = []  # candidates that the predictor was trained on

    def propose(self) -> Request | None:
        """Return the next job, after scoring the cells if it starts a round."""
        known = len(self.standings)
        request = super().propose()
        starts = request is not None and request.candidate == known and not self.pending
        if starts and known and request is not None and request.start == 0:
            self.scores.append(self.predictor.score(self._cells).tolist())
            self.pools.append(known)
        return request


def main() -> None:
    """Print a row for each round."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    settings = {"strategy.levels": [12], "strategy.nosh.pool": 100, "strategy.budget": 1200}
    trial = load_trial("rank-nosh", {**settings, **dict(map(parse_assignment, arguments.set))})
    config = trial.strategy
    assert config is not None
    table, cache = load_trainings(arguments.table), SimulationCache()
    space = cache.architectures(trial.space.name)
    rng = Random(0)
    cells = [space.sample(rng) for _ in range(CELLS)]
    truth = [table.test(str(cell), "cifar10") for cell in cells]
    own: Rounds = defaultdict(list)
    all_cells: Rounds = defaultdict(list)
    pools: Rounds = defaultdict(list)
    for seed in range(arguments.seeds):
        search = Watched(StrategyInputs(space, config, seed, cache.proxy(trial)), cells)
        simulate(search, table, "cifar10", workers=4, seed=seed)
        for number, tau in enumerate(search.round_correlations):
            if tau is not None:
                own[number].append(tau)
        for number, (scores, pool) in enumerate(zip(search.scores, search.pools, strict=True), 1):
            tau = kendall_tau(scores, truth)
            pools[number].append(pool)
            if tau is not None:
                all_cells[number].append(tau)
    print(f"| round | candidates before | τ, new candidates | τ, {CELLS} cells |")
    print("|---:|---:|---:|---:|")
    for number in sorted(pools):
        columns = (own[number], all_cells[number])
        texts = [
            f"{statistics.fmean(of):.2f} ± {statistics.stdev(of):.2f}" if len(of) > 1 else "–"
            for of in columns
        ]
        print(f"| {number + 1} | {statistics.fmean(pools[number]):.0f} | {' | '.join(texts)} |")
    print(f"mean ± sample standard deviation, n = {arguments.seeds} searches")


if __name__ == "__main__":
    main()
