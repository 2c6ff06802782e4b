"""Candidates whose accuracies come from the NAS-Bench-201 table at once, instead of training."""

from __future__ import annotations

from collections.abc import Callable

import torch

from tune_nas.benchmark import TrainingTable, find_table, load_trainings, user_table
from tune_nas.candidates.candidate_trial import strategy_of
from tune_nas.candidates.running_job import EpochResult, RunningJob
from tune_nas.candidates.simulation import check_simulated, check_space
from tune_nas.config import TrialConfig
from tune_nas.data.data_source import DataFacts
from tune_nas.errors import ConfigError

_SHAPES = {"cifar10": (10, 32), "cifar100": (100, 32), "imagenet16_120": (120, 16)}
"""Number of classes and image size of the benchmark's data sets."""


class TableTrainer:
    """Gives a whole job its accuracy in one step.

    Args:
        table: The trainings of every cell.
        data: The data set of the table.
        seed: Chooses one of the benchmark's runs of a cell.
    """

    def __init__(self, table: TrainingTable, data: str, seed: int) -> None:
        self._table, self._data, self._seed = table, data, seed

    @classmethod
    def of(cls, trial: TrialConfig, data: str) -> TableTrainer:
        """Return the trainer of a trial, given its data set in the table.

        Raises:
            ConfigError: If there is no table, or it lacks the trial's space or levels.
        """
        check_space(trial.space.name)
        path = find_table(trial.benchmark.table)
        if path is None and trial.benchmark.table is None:
            raise ConfigError(
                f"benchmark.simulate is '{data}', but benchmark.table is null; set it to auto "
                "or to a file"
            )
        if path is None:
            raise ConfigError(
                f"benchmark.simulate is '{data}', but there is no table at {user_table()}; write "
                "it with tune-nas benchmark import FILE, or set benchmark.table to one"
            )
        table = load_trainings(path)
        check_simulated(strategy_of(trial), table, data)
        return cls(table, data, trial.seed)

    @property
    def facts(self) -> DataFacts:
        """The size of the images of the data set; they are not read."""
        classes, side = _SHAPES[self._data]
        none = (0.0,) * 3, (1.0,) * 3
        return DataFacts(classes, 3, side, *none, torch.float32, mirrors=True, classes=())

    def run_epoch(self, job: RunningJob, on_step: Callable[[int, int], None] | None) -> EpochResult:
        """Return the accuracy after all epochs of a job.

        Raises:
            ConfigError: If the table does not have it.
        """
        request = job.request
        cell = str(request.genotype)
        accuracy = self._table.accuracy(cell, self._data, request.epochs, self._seed)
        return EpochResult({"valid_accuracy": accuracy}, epochs=request.cost)
