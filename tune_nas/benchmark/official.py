"""Reading the files published by the benchmark's authors, without running any code in them.

Three layouts with the same content: ``NAS-Bench-201-v1_*.pth`` (``torch.save``),
``NATS-tss-v1_*.pickle.pbz2`` (a pickle, bzip2) and the folder ``NATS-tss-v1_*-simple`` (a pickle
for each cell, and ``meta``). For every cell they contain the accuracies of each run after each
epoch. The keys follow the authors' readers: D-X-Y/NAS-Bench-201 ``nas_201_api`` and
D-X-Y/NATS-Bench ``nats_bench/api_utils.py``.
"""

from __future__ import annotations

import bz2
import pickle
import statistics
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tune_nas.benchmark.training_table import FULL, CellTraining
from tune_nas.data.pickled_arrays import unpickle
from tune_nas.errors import ConfigError

# Data set here -> the data the runs were trained on and the images they were evaluated on: first
# for the validation accuracy, then for the test accuracy.
_SOURCES = {
    "cifar10": (("cifar10-valid", "x-valid"), ("cifar10", "ori-test")),
    "cifar100": (("cifar100", "x-valid"), ("cifar100", "x-test")),
    "imagenet16_120": (("ImageNet16-120", "x-valid"), ("ImageNet16-120", "x-test")),
}
_SETTINGS = {12: ("12", "less"), FULL: ("200", "full")}  # in NATS-Bench, in NAS-Bench-201
_PICKLE = "pickle.pbz2"


def read_official(path: Path) -> dict[str, dict[str, CellTraining]]:
    """Return the trainings of each cell by data set: 200 epochs, and 12 where they are there.

    Args:
        path: A ``.pth`` or ``.pbz2`` file, or the folder.

    Raises:
        ConfigError: If it cannot be read, contains anything but containers and numbers, or is not
            such a file.
    """
    try:
        return {cell: _trainings(runs, cell) for cell, runs in _cells(path)}
    except (OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"'{path}' cannot be read: {reason}") from error
    except (pickle.UnpicklingError, RuntimeError, UnicodeError) as error:
        raise ConfigError(
            f"'{path}' is no NAS-Bench-201 or NATS-Bench file: "
            f"{_first_line(error) or 'it is damaged'}"
        ) from error
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"'{path}' is no NAS-Bench-201 or NATS-Bench file of the topology space: "
            f"nothing as expected at {_first_line(error)}"
        ) from error


def _cells(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each cell with its runs by training setting."""
    if path.is_dir():
        meta = _unpickle(path / f"meta.{_PICKLE}")
        for index, cell in enumerate(meta["meta_archs"]):
            file = path / f"{index:06d}.{_PICKLE}"
            if file.is_file():
                yield str(cell), _unpickle(file)
        return
    content = _load_torch(path) if path.suffix == ".pth" else _unpickle(path)
    for index, runs in content["arch2infos"].items():
        yield str(content["meta_archs"][index]), runs


def _trainings(by_setting: Mapping[str, Any], cell: str) -> dict[str, CellTraining]:
    found = {
        epochs: next((by_setting[name] for name in names if name in by_setting), None)
        for epochs, names in _SETTINGS.items()
    }
    if found[FULL] is None:
        raise KeyError(f"the runs of {FULL} epochs of {cell}")
    return {data: _training(found, *sources) for data, sources in _SOURCES.items()}


def _training(
    settings: Mapping[int, Any], valid: tuple[str, str], test: tuple[str, str]
) -> CellTraining:
    known = {epochs: runs for epochs, runs in settings.items() if runs is not None}
    seeds = {epochs: _last(runs, *valid) for epochs, runs in known.items()}
    tests = {epochs: statistics.fmean(_last(runs, *test)) for epochs, runs in known.items()}
    means = {epochs: statistics.fmean(of_runs) for epochs, of_runs in seeds.items()}
    several = {epochs: of_runs for epochs, of_runs in seeds.items() if len(of_runs) > 1}
    return CellTraining(means, tests, several, _seconds(known[FULL], valid[0]))


def _runs(runs: Mapping[str, Any], data: str) -> list[Any]:
    return [runs["all_results"][data, seed] for seed in runs["dataset_seed"][data]]


def _last(runs: Mapping[str, Any], data: str, images: str) -> tuple[float, ...]:
    """Return the accuracy of each run after its last epoch."""
    return tuple(
        float(run["eval_acc1es"][f"{images}@{run['epochs'] - 1}"]) for run in _runs(runs, data)
    )


def _seconds(runs: Mapping[str, Any], data: str) -> float | None:
    """Return the seconds of a training, the mean over the runs; None if they are not there."""
    times = [(run.get("train_times") or {}, run["epochs"]) for run in _runs(runs, data)]
    # The published times are the same for every epoch: a mean that the authors measured.
    known = [statistics.fmean(map(float, of.values())) * epochs for of, epochs in times if of]
    return statistics.fmean(known) if known else None


def _unpickle(path: Path) -> Any:
    with bz2.open(path, "rb") as stream:
        return unpickle(stream)


def _load_torch(path: Path) -> Any:
    """Return the content of a file of ``torch.save``: containers, and numbers of NumPy (times)."""
    numbers = [np.dtypes.Float64DType, np.dtypes.Float32DType, np.dtypes.Int64DType]
    scalar = np.float64(0).__reduce__()[0]  # the function that creates one from bytes
    named: list[tuple[Any, str]] = [
        (OrderedDict, "collections.OrderedDict"),
        (np.dtype, "numpy.dtype"),
        (scalar, "numpy.core.multiarray.scalar"),
        (scalar, "numpy._core.multiarray.scalar"),
    ]
    with torch.serialization.safe_globals([*named, *numbers]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the error says if it is not a torch file
        return torch.load(path, map_location="cpu", weights_only=True)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else ""
