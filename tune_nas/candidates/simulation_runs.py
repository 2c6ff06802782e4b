"""Many simulated searches: over trials and seeds, in several processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from threading import Thread

import torch

from tune_nas.benchmark import TrainingTable
from tune_nas.candidates.search_curve import SearchCurve
from tune_nas.candidates.simulation import simulate
from tune_nas.candidates.simulation_cache import SimulationCache
from tune_nas.config import TrialConfig
from tune_nas.errors import ConfigError, StorageError
from tune_nas.strategies import StrategyInputs, make_strategy


@dataclass(frozen=True)
class Simulation:
    """A search to be simulated.

    Args:
        label: Name of its settings.
        trial: The trial, which has a strategy; its own seed has no effect.
        data: The data set of the table.
        workers: Number of jobs at a time.
        seed: Seed of the strategy, which also chooses the benchmark's runs.
    """

    label: str
    trial: TrialConfig
    data: str
    workers: int
    seed: int

    def run(self, table: TrainingTable, cache: SimulationCache | None = None) -> SearchCurve:
        """Simulate the search.

        Args:
            table: The trainings of every cell.
            cache: What the searches of this process share; None for nothing.

        Raises:
            ConfigError: If the table lacks something, or a custom strategy cannot be loaded.
        """
        config = self.trial.strategy
        if config is None:
            raise ConfigError(f"trial '{self.trial.name}' has no strategy")
        cache = SimulationCache() if cache is None else cache
        architectures = cache.architectures(self.trial.space.name)
        inputs = StrategyInputs(architectures, config, self.seed, cache.proxy(self.trial))
        return SearchCurve.of(
            simulate(make_strategy(inputs), table, self.data, self.workers, self.seed)
        )


def run_simulations(
    simulations: Sequence[Simulation], table: TrainingTable, processes: int = 1
) -> Generator[tuple[Simulation, SearchCurve], None, None]:
    """Yield each simulation and its curve, in the order in which they end.

    Closing the iterator ends the processes. The curves do not depend on their number.

    Args:
        simulations: The searches.
        table: The trainings of every cell.
        processes: Number of processes; 1 for this one.

    Raises:
        ConfigError: If a search cannot be simulated.
        StorageError: If a process is killed.
    """
    if processes == 1 or len(simulations) < 2:
        cache = SimulationCache()
        yield from ((each, each.run(table, cache)) for each in simulations)
        return
    context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    workers = []
    for number in range(min(processes, len(simulations))):
        here, there = context.Pipe(duplex=False)
        share = list(enumerate(simulations))[number::processes]
        worker = context.Process(target=_work, args=(there, table, share), daemon=True)
        with _without_interrupts():
            worker.start()
        there.close()
        workers.append((worker, here))
    try:
        for number, curve in _received([here for _, here in workers]):
            yield simulations[number], curve
    finally:
        for worker, here in workers:
            worker.terminate()
            worker.join()
            here.close()


def _received(open_: list[Connection]) -> Iterator[tuple[int, SearchCurve]]:
    """Yield what the processes send until each has sent None."""
    while open_:
        for connection in wait(open_):
            assert isinstance(connection, Connection)
            try:
                message = connection.recv()
            except EOFError as error:
                raise StorageError("a process of the simulation was killed; run it again") from (
                    error
                )
            if message is None:
                open_.remove(connection)
            elif isinstance(message, Exception):
                raise message
            else:
                yield message


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Hold back Ctrl-C, which a process that is started here never gets: it would print a trace."""
    if sys.platform == "win32":
        yield
        return
    from multiprocessing import resource_tracker  # not on Windows

    resource_tracker.ensure_running()  # else the first start does this, and lets Ctrl-C through
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


def _end_with_parent() -> None:
    """End this process if the one that started it is killed; a search may take minutes."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(
    connection: Connection, table: TrainingTable, share: Sequence[tuple[int, Simulation]]
) -> None:
    """Simulate a share of the searches, and send each curve with its number."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches this process too
    Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    with suppress(BrokenPipeError):  # the process that waits was killed
        try:
            cache = SimulationCache()
            for number, simulation in share:
                connection.send((number, simulation.run(table, cache)))
            connection.send(None)
        except Exception as error:
            connection.send(error)
