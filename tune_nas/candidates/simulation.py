"""A black-box search whose trainings are read from the benchmark's table, in virtual time.

The idea is that of Syne Tune (Salinas et al., AutoML 2022): the decisions are those of a search
with some workers that each train one candidate at a time, but a training takes no time: the clock
advances to its end.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from tune_nas.benchmark import DATA, SPACE, TrainingTable
from tune_nas.config.strategy_conditions import may_read
from tune_nas.config.strategy_config import StrategyConfig
from tune_nas.errors import ConfigError
from tune_nas.strategies import Request, Standing, Strategy


@dataclass(frozen=True)
class SimulatedIncumbent:
    """The first candidate of a strategy's ranking at some time.

    Args:
        cell: The candidate in the benchmark's notation.
        accuracy: Its last validation accuracy in percent.
        test: Its test accuracies in percent after 200 epochs, in the order of the data sets.
        regret: The best cell's test accuracy on the data set of the search, minus its own.
    """

    cell: str
    accuracy: float
    test: tuple[float, ...]
    regret: float


@dataclass(frozen=True)
class SimulatedJob:
    """A completed training job.

    Args:
        request: The job.
        accuracy: The validation accuracy that the strategy was told, in percent.
        seconds: Virtual time of its completion.
        spent: Training epochs of all jobs that are completed.
        gpu_seconds: Seconds of all jobs that are completed, one GPU a worker.
        incumbent: The incumbent afterwards.
    """

    request: Request
    accuracy: float
    seconds: float
    spent: int
    gpu_seconds: float
    incumbent: SimulatedIncumbent


@dataclass(frozen=True)
class SimulatedSearch:
    """A search that was simulated.

    Args:
        jobs: The jobs in the order of their completion.
        ranking: The candidates at the end, best first.
    """

    jobs: Sequence[SimulatedJob]
    ranking: Sequence[Standing]


def simulate(
    strategy: Strategy, table: TrainingTable, data: str, workers: int = 1, seed: int = 0
) -> SimulatedSearch:
    """Run a strategy until it ends, with accuracies and training times from the table.

    A free worker asks for a job at once. Jobs that end at the same time are told in the order of
    their requests. The times are those of training alone: evaluations and decisions take none.

    Args:
        strategy: The strategy, which has not been asked yet.
        table: The trainings of every cell.
        data: The data set on which candidates are trained and compared.
        workers: Number of jobs at a time.
        seed: Chooses one of the benchmark's runs of a cell, for all cells alike.

    Raises:
        ConfigError: If the strategy's levels and promotions are not those of the table, or it asks
            for an impossible job, or for none.
    """
    check_simulated(strategy.config, table, data)
    running: list[tuple[float, int, Request]] = []
    jobs: list[SimulatedJob] = []
    best: Standing | None = None
    incumbent: SimulatedIncumbent | None = None
    now, spent, gpu_seconds = 0.0, 0, 0.0
    while True:
        while len(running) < workers and (request := strategy.ask()) is not None:
            end = now + table.seconds(str(request.genotype), data, request.cost)
            heapq.heappush(running, (end, request.number, request))
        if not jobs and not running:
            raise ConfigError(f"strategy '{strategy.config.kind}' asks for no candidate")
        if not running:
            return SimulatedSearch(jobs, strategy.ranking())
        now, _, request = heapq.heappop(running)
        cell = str(request.genotype)
        accuracy = table.accuracy(cell, data, request.epochs, seed)
        strategy.tell(request, accuracy)
        spent += request.cost
        gpu_seconds += table.seconds(cell, data, request.cost)
        told = strategy.standings[request.candidate]
        new = _first(strategy, best, told)
        if incumbent is None or new is not best or new is told:
            best, incumbent = new, _incumbent(new, table, data)
        jobs.append(SimulatedJob(request, accuracy, now, spent, gpu_seconds, incumbent))


def check_simulated(config: StrategyConfig, table: TrainingTable, data: str) -> None:
    """Check that a table has what the searches of a strategy need.

    Raises:
        ConfigError: If it lacks the data set or a level, or if trainings cannot be continued.
    """
    if data not in DATA:
        raise ConfigError(f"the benchmark has no data set '{data}', only {', '.join(DATA)}")
    table.check(data, config.levels)
    promotes = len(config.levels) > 1 and may_read(config, "strategy.promotion")
    if promotes and config.promotion != "restart":
        raise ConfigError(
            f"strategy.promotion is '{config.promotion}', but must be restart where strategy.levels"
            " are simulated: the benchmark's 12-epoch trainings anneal their learning rate to zero"
        )


def check_space(name: str) -> None:
    """Check that a space is that of the benchmark.

    Raises:
        ConfigError: If it is another.
    """
    if name != SPACE:
        raise ConfigError(f"the benchmark knows cells of space '{SPACE}', not '{name}'")


def _first(strategy: Strategy, best: Standing | None, told: Standing) -> Standing:
    """Return the first of the ranking, given the first before a result: sorting it takes long."""
    if best is None or type(strategy).ranking is not Strategy.ranking:
        return strategy.ranking()[0]
    return min(best, told, key=lambda standing: standing.rank_key)


def _incumbent(best: Standing, table: TrainingTable, data: str) -> SimulatedIncumbent:
    cell = str(best.genotype)
    test = tuple(table.test(cell, each) for each in DATA)
    regret = table.best_test(data) - table.test(cell, data)
    return SimulatedIncumbent(cell, best.accuracy, test, regret)
