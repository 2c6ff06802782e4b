"""The trainings of the table: accuracy after 12 or 200 epochs, and seconds, for every cell."""

from __future__ import annotations

import csv
import gzip
import hashlib
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from tune_nas.benchmark.table import STEMS, BenchmarkTable, parse_accuracy, read_rows
from tune_nas.errors import ConfigError

DATA = tuple(STEMS)
"""The data sets: ``cifar10``, ``cifar100`` and ``imagenet16_120``."""

FULL = 200
LEVELS = (12, FULL)
"""Numbers of epochs of the benchmark's trainings; each anneals its learning rate to zero."""

_SECONDS = {data: f"{stem}_train_s_{FULL}" for data, stem in STEMS.items()} | {
    "cifar10": f"c10valid_train_s_{FULL}"  # on the training split, as in a search
}


@dataclass(frozen=True)
class CellTraining:
    """What the benchmark measured of a cell on one data set.

    Args:
        valid: Mean validation accuracy in percent by number of epochs.
        test: Mean test accuracy in percent by number of epochs.
        seeds: Validation accuracy of each of several runs by number of epochs, where known.
        seconds: Seconds of a training of 200 epochs; None if unknown.
    """

    valid: Mapping[int, float]
    test: Mapping[int, float]
    seeds: Mapping[int, tuple[float, ...]] = field(default_factory=dict)
    seconds: float | None = None


@dataclass(frozen=True)
class TrainingTable:
    """The trainings of every cell, for simulated searches.

    Accuracies are in percent, like the ``valid_accuracy`` of a search. The validation accuracy of
    a run is that of one of the benchmark's seeds where the file has them: for CIFAR-10 and 200
    epochs. Elsewhere it is their mean, or the only run.

    Args:
        rows: Trainings by cell, in the benchmark's notation, and by data set (`DATA`).
    """

    rows: Mapping[str, Mapping[str, CellTraining]]

    def accuracy(self, cell: str, data: str, epochs: int, seed: int) -> float:
        """Return the validation accuracy after 12 or 200 epochs, of the run for a seed.

        Raises:
            ConfigError: If the table does not have it.
        """
        training = self._training(cell, data)
        runs = training.seeds.get(epochs)
        if runs:
            return runs[seed % len(runs)]
        if epochs not in training.valid:
            raise ConfigError(_lacks(f"accuracies after {epochs} epochs"))
        return training.valid[epochs]

    def test(self, cell: str, data: str) -> float:
        """Return the test accuracy after 200 epochs, the mean over the benchmark's seeds.

        Raises:
            ConfigError: If the table has no such cell.
        """
        return self._training(cell, data).test[FULL]

    def seconds(self, cell: str, data: str, epochs: int) -> float:
        """Return the seconds of a training of some epochs: those of 200, in proportion.

        Raises:
            ConfigError: If the table does not have them.
        """
        seconds = self._training(cell, data).seconds
        if seconds is None:
            raise ConfigError(_lacks("training times"))
        return seconds * epochs / FULL

    def best_test(self, data: str) -> float:
        """Return the highest test accuracy of all cells."""
        return self._best_test[data]

    def digest(self) -> str:
        """Return a text that differs for tables with different numbers."""
        return hashlib.sha256(repr(self.rows).encode()).hexdigest()[:16]

    def check(self, data: str, levels: Sequence[int]) -> None:
        """Check that every cell has what a search on a data set needs.

        Raises:
            ConfigError: If the levels are not of the benchmark, or the table lacks them.
        """
        for level in levels:
            if level not in LEVELS:
                nearest = min(LEVELS, key=lambda known: abs(known - level))
                raise ConfigError(
                    f"strategy.levels has {level}, but the benchmark knows trainings of 12 and 200 "
                    f"epochs only; the nearest is {nearest}"
                )
            if level not in self._complete[data]:
                raise ConfigError(_lacks(f"accuracies after {level} epochs"))
        if not self._timed[data]:
            raise ConfigError(_lacks("training times"))

    def accuracies(self) -> BenchmarkTable:
        """Return the table of the accuracies after 200 epochs."""
        return BenchmarkTable(
            {
                cell: {
                    f"{data}_{split}": values[FULL]
                    for data, training in of_cell.items()
                    for split, values in (("valid", training.valid), ("test", training.test))
                }
                for cell, of_cell in self.rows.items()
            }
        )

    @cached_property
    def _complete(self) -> dict[str, list[int]]:
        """The levels after which every cell's accuracy is known, by data set."""
        return {
            data: [n for n in LEVELS if all(n in row[data].valid for row in self.rows.values())]
            for data in DATA
        }

    @cached_property
    def _timed(self) -> dict[str, bool]:
        return {
            data: all(row[data].seconds is not None for row in self.rows.values()) for data in DATA
        }

    @cached_property
    def _best_test(self) -> dict[str, float]:
        return {data: max(self.test(cell, data) for cell in self.rows) for data in DATA}

    def _training(self, cell: str, data: str) -> CellTraining:
        if cell not in self.rows:
            raise ConfigError(f"the benchmark's table has no cell '{cell}'")
        return self.rows[cell][data]


def load_trainings(path: str | Path) -> TrainingTable:
    """Read the trainings from a CSV file, gzipped or not.

    The accuracies after 200 epochs are required; files that an earlier version imported have
    nothing else.

    Raises:
        ConfigError: If the file cannot be read or is not that table.
    """
    return TrainingTable(
        read_rows(
            path,
            lambda row: {data: _parse(row, data) for data in DATA},
            lambda error: (
                "its columns must be accuracies in percent and seconds, and "
                f"{_shortened(error)} is not"
            ),
        )
    )


def save_trainings(table: TrainingTable, path: Path) -> None:
    """Write the compact format, gzipped and atomically; unknown values are left empty."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    names = [name for data in DATA for name in _columns(data)]
    try:
        with gzip.open(unfinished, "wt", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["arch", *names])
            for cell, of_cell in table.rows.items():
                values = [value for data in DATA for value in _texts(of_cell[data])]
                writer.writerow([cell, *values])
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _columns(data: str) -> list[str]:
    stem = STEMS[data]
    pairs = [f"{stem}_{split}_{epochs}" for split in ("valid", "test") for epochs in LEVELS]
    return [*pairs, *(f"{stem}_valid_{epochs}_seeds" for epochs in LEVELS), _SECONDS[data]]


def _texts(training: CellTraining) -> list[str]:
    """Return the values of the columns as text."""
    values = [found.get(each) for found in (training.valid, training.test) for each in LEVELS]
    seeds = [";".join(f"{run:.4f}" for run in training.seeds.get(each, ())) for each in LEVELS]
    single = ["" if value is None else f"{value:.4f}" for value in values]
    return [*single, *seeds, "" if training.seconds is None else f"{training.seconds:.2f}"]


def _parse(row: Mapping[str, str], data: str) -> CellTraining:
    stem = STEMS[data]
    found: dict[str, dict[int, float]] = {"valid": {}, "test": {}}
    for split, values in found.items():
        for epochs in LEVELS:
            name = f"{stem}_{split}_{epochs}"
            text = row[name] if epochs == FULL else row.get(name)
            if text or epochs == FULL:
                values[epochs] = parse_accuracy(text or "")
    seeds = {
        epochs: tuple(parse_accuracy(run) for run in text.split(";"))
        for epochs in LEVELS
        if (text := row.get(f"{stem}_valid_{epochs}_seeds"))
    }
    seconds = row.get(_SECONDS[data])
    return CellTraining(
        found["valid"], found["test"], seeds, _parse_seconds(seconds) if seconds else None
    )


def _parse_seconds(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"'{text}'")
    return value


def _shortened(error: Exception) -> str:
    return (" ".join(str(error).split()) or "a row")[:60]


def _lacks(what: str) -> str:
    return (
        f"the benchmark's table has no {what}, which a simulation needs; import the published file "
        "again: tune-nas benchmark import FILE"
    )
