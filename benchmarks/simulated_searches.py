"""Measure how many simulated searches of 300 trainings a minute there are, without Ray.

    python benchmarks/simulated_searches.py --table TABLE

Each strategy is simulated with other seeds until the time is over, by the processes and the code of
``tune-nas benchmark simulate``; starting the processes and reading the table are not counted. On a
machine that others use too, the CPU time of a search, measured in this process, says more.
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import closing
from pathlib import Path

import torch

from tune_nas.benchmark import TrainingTable, load_trainings
from tune_nas.candidates.simulation_cache import SimulationCache
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
PREDICTED = {"strategy.levels": [12], "strategy.budget": 1200, "strategy.nosh.pool": 100}
TRIALS = {
    "random-search": SHORT,
    "regularized-evolution": SHORT,
    "local-search": SHORT,
    "successive-halving": TWO_LEVELS,
    "asha-genotypes": TWO_LEVELS,
    "rank-nosh": PREDICTED,
}
WITHOUT_GOAL = ("rank-nosh",)  # it trains its predictor for real: 100 trainings, 12 rounds


def per_minute(
    trial: TrialConfig, table: TrainingTable, processes: int, seconds: float
) -> tuple[float, float]:
    """Return the searches a minute and their mean number of trainings."""
    searches = [Simulation(trial.name, trial, "cifar10", 4, seed) for seed in range(100_000)]
    lengths: list[int] = []
    start = time.perf_counter()
    with closing(run_simulations(searches, table, processes)) as running:
        for number, (_, curve) in enumerate(running):
            if number < processes:  # every process has started
                start = time.perf_counter()
                continue
            lengths.append(len(curve.epochs))
            if time.perf_counter() - start > seconds:
                break
    elapsed = time.perf_counter() - start
    return 60 * len(lengths) / elapsed, sum(lengths) / len(lengths)


def cpu_seconds(trial: TrialConfig, table: TrainingTable, searches: int = 5) -> float:
    """Return the CPU seconds of a search, the mean over seeds after a first search."""
    cache = SimulationCache()
    start = 0.0
    for seed in range(searches + 1):
        if seed == 1:
            start = time.process_time()
        Simulation(trial.name, trial, "cifar10", 4, seed).run(table, cache)
    return (time.process_time() - start) / searches


def main() -> int:
    """Print the searches a minute of each strategy; status 1 if one misses the goal."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=20, help="of each strategy")
    arguments = parser.parse_args()
    missed = False
    torch.set_num_threads(1)
    table = load_trainings(arguments.table)
    print("| strategy | trainings | searches a minute | CPU seconds of a search |")
    print("|---|---:|---:|---:|")
    for name, settings in TRIALS.items():
        trial = load_trial(name, settings)
        rate, length = per_minute(trial, table, arguments.processes, arguments.seconds)
        missed |= rate < GOAL and name not in WITHOUT_GOAL
        cpu = cpu_seconds(trial, table, 2 if name in WITHOUT_GOAL else 5)
        print(f"| {name} | {length:.0f} | {rate:,.0f} | {cpu:.3f} |", flush=True)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
