"""Measure how many simulated searches of 300 trainings a minute there are, without Ray.

    python benchmarks/simulated_searches.py --table TABLE

Each strategy is simulated with other seeds until the time is over, by the processes and the code of
``tune-nas benchmark simulate``; starting the processes and reading the table are not counted.
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import closing
from pathlib import Path

from tune_nas.benchmark import load_trainings
from tune_nas.candidates.simulation_runs import Simulation, run_simulations
from tune_nas.config import TrialConfig
from tune_nas.library import load_trial

GOAL = 200  # searches a minute
TRAININGS = 300
SHORT = {"strategy.levels": [12], "strategy.budget": 12 * TRAININGS}
# About 300 trainings: 200 of 12 epochs and 100 of 200, by the reduction factor 2.
TWO_LEVELS = {
    "strategy.levels": [12, 200],
    "strategy.promotion": "restart",
    "strategy.budget": 22_400,
}
POOL = {"strategy.nosh.pool": TRAININGS}
TRIALS = {
    "random-search": SHORT,
    "regularized-evolution": SHORT,
    "local-search": SHORT,
    "successive-halving": TWO_LEVELS,
    "asha-genotypes": TWO_LEVELS,
    "rank-nosh": SHORT | POOL,
}
WITHOUT_GOAL = ("rank-nosh",)  # it trains its predictor for real


def per_minute(
    trial: TrialConfig, table: Path, processes: int, seconds: float
) -> tuple[float, float]:
    """Return the searches a minute and their mean number of trainings."""
    trainings = load_trainings(table)
    searches = [Simulation(trial.name, trial, "cifar10", 4, seed) for seed in range(100_000)]
    lengths: list[int] = []
    start = time.perf_counter()
    with closing(run_simulations(searches, trainings, processes)) as running:
        for number, (_, curve) in enumerate(running):
            if number < processes:  # every process has started
                start = time.perf_counter()
                continue
            lengths.append(len(curve.epochs))
            if time.perf_counter() - start > seconds:
                break
    elapsed = time.perf_counter() - start
    return 60 * len(lengths) / elapsed, sum(lengths) / len(lengths)


def main() -> int:
    """Print the searches a minute of each strategy; status 1 if one misses the goal."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=20, help="of each strategy")
    arguments = parser.parse_args()
    missed = False
    print("| strategy | trainings | searches a minute |\n|---|---:|---:|")
    for name, settings in TRIALS.items():
        trial = load_trial(name, settings)
        rate, length = per_minute(trial, arguments.table, arguments.processes, arguments.seconds)
        missed |= rate < GOAL and name not in WITHOUT_GOAL
        print(f"| {name} | {length:.0f} | {rate:,.0f} |", flush=True)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
