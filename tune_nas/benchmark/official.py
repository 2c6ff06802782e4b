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

from tune_nas.errors import ConfigError

# Name here -> the data the runs were trained on and the images they were evaluated on.
_SOURCES = {
    "cifar10_valid": ("cifar10-valid", "x-valid"),
    "cifar10_test": ("cifar10", "ori-test"),
    "cifar100_valid": ("cifar100", "x-valid"),
    "cifar100_test": ("cifar100", "x-test"),
    "imagenet16_120_valid": ("ImageNet16-120", "x-valid"),
    "imagenet16_120_test": ("ImageNet16-120", "x-test"),
}
_SETTINGS = ("200", "full")  # the runs of 200 epochs in NATS-Bench and NAS-Bench-201
_PICKLE = "pickle.pbz2"


def read_official(path: Path) -> dict[str, dict[str, float]]:
    """Return the accuracies of each cell after 200 epochs, averaged over the runs.

    Args:
        path: A ``.pth`` or ``.pbz2`` file, or the folder.

    Raises:
        ConfigError: If it cannot be read, contains anything but containers and numbers, or is not
            such a file.
    """
    try:
        return {cell: _accuracies(runs, cell) for cell, runs in _cells(path)}
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


def _accuracies(by_setting: Mapping[str, Any], cell: str) -> dict[str, float]:
    setting = next((name for name in _SETTINGS if name in by_setting), None)
    if setting is None:
        raise KeyError(f"the runs of 200 epochs of {cell}")
    runs = by_setting[setting]
    found = {}
    for name, (data, images) in _SOURCES.items():
        of_data = [runs["all_results"][data, seed] for seed in runs["dataset_seed"][data]]
        last = [run["eval_acc1es"][f"{images}@{run['epochs'] - 1}"] for run in of_data]
        found[name] = statistics.fmean(last)
    return found


class _ContainersAndNumbers(pickle.Unpickler):
    """Unpickles containers, text and numbers; any other class or function is an error."""

    def find_class(self, module: str, name: str) -> Any:
        """Return one of the few objects that the published files consist of."""
        allowed = {f"{module}.{name}": thing for thing, module, name in _allowed()}
        if f"{module}.{name}" not in allowed:
            raise pickle.UnpicklingError(
                f"it holds {module}.{name}, but must hold containers and numbers alone"
            )
        return allowed[f"{module}.{name}"]


def _allowed() -> list[tuple[Any, str, str]]:
    """Return the names a file may use besides plain containers: numpy numbers (mean times)."""
    scalar = np.float64(0).__reduce__()[0]  # the function that creates one from bytes
    return [
        (OrderedDict, "collections", "OrderedDict"),
        (np.dtype, "numpy", "dtype"),
        (scalar, "numpy.core.multiarray", "scalar"),
        (scalar, "numpy._core.multiarray", "scalar"),
    ]


def _unpickle(path: Path) -> Any:
    with bz2.open(path, "rb") as stream:
        return _ContainersAndNumbers(stream).load()


def _load_torch(path: Path) -> Any:
    numbers = [np.dtypes.Float64DType, np.dtypes.Float32DType, np.dtypes.Int64DType]
    named = [(thing, f"{module}.{name}") for thing, module, name in _allowed()]
    with torch.serialization.safe_globals([*named, *numbers]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the error says if it is not a torch file
        return torch.load(path, map_location="cpu", weights_only=True)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else ""
