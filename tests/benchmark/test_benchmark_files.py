"""The published files, written here in their layout: what is read of them, and what is refused."""

from __future__ import annotations

import bz2
import os
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tune_nas.benchmark import (
    CellTraining,
    import_benchmark,
    load_benchmark,
    load_trainings,
    user_table,
)
from tune_nas.benchmark.importing import all_cells
from tune_nas.benchmark.official import read_official
from tune_nas.errors import ConfigError

CELLS = sorted(all_cells())

# Training data -> accuracies after the last epoch: images -> one for each run.
RUNS: dict[str, dict[str, tuple[float, ...]]] = {
    "cifar10-valid": {"x-valid": (90.0, 91.0, 92.0), "ori-test": (1.0, 1.0, 1.0)},
    "cifar10": {"ori-test": (93.0, 94.0)},
    "cifar100": {"ori-test": (2.0,), "x-valid": (70.0,), "x-test": (71.5,)},
    "ImageNet16-120": {"ori-test": (3.0,), "x-valid": (45.0,), "x-test": (46.5,)},
}
MEANS = {
    "cifar10_valid": 91.0,
    "cifar10_test": 93.5,
    "cifar100_valid": 70.0,
    "cifar100_test": 71.5,
    "imagenet16_120_valid": 45.0,
    "imagenet16_120_test": 46.5,
}
# The same after 12 epochs; each epoch takes 7.5 seconds.
TRAININGS = {
    "cifar10": CellTraining(
        {12: 91.0, 200: 91.0},
        {12: 93.5, 200: 93.5},
        dict.fromkeys((12, 200), (90.0, 91.0, 92.0)),
        1500.0,
    ),
    "cifar100": CellTraining({12: 70.0, 200: 70.0}, {12: 71.5, 200: 71.5}, {}, 1500.0),
    "imagenet16_120": CellTraining({12: 45.0, 200: 45.0}, {12: 46.5, 200: 46.5}, {}, 1500.0),
}


def run(data: str, number: int, epochs: int) -> dict[str, Any]:
    """A run as the authors' readers keep it: each epoch's accuracy, mean times as numpy numbers."""
    evaluated = {}
    for images, accuracies in RUNS[data].items():
        for epoch in range(epochs):
            last = epoch == epochs - 1
            evaluated[f"{images}@{epoch}"] = accuracies[number] if last else 10.0
    return {
        "name": data,
        "net_state_dict": None,
        "train_acc1es": OrderedDict({0: 10.0}),
        "train_times": OrderedDict({0: np.float64(7.5)}),
        "arch_config": {"channel": 16, "num_cells": 5, "class_num": 10},
        "params": 0.073306,
        "flop": 7.78305,
        "seed": 777 + number,
        "epochs": epochs,
        "latency": [0.0125],
        "eval_names": list(RUNS[data]),
        "eval_acc1es": evaluated,
    }


def runs(epochs: int = 200) -> dict[str, Any]:
    seeds = {
        data: [777 + number for number in range(len(next(iter(by.values()))))]
        for data, by in RUNS.items()
    }
    return {
        "arch_index": 0,
        "dataset_seed": seeds,
        "clear_net_done": True,
        "all_results": {
            (data, seed): run(data, number, epochs)
            for data, numbers in seeds.items()
            for number, seed in enumerate(numbers)
        },
    }


def content(cells: list[str], *settings: str) -> dict[str, Any]:
    # The 12-epoch runs come first, as published; the same object for each cell keeps it small.
    by_setting = {setting: runs(12 if setting in ("12", "less") else 200) for setting in settings}
    return {
        "meta_archs": cells,
        "arch2infos": dict.fromkeys(range(len(cells)), by_setting),
        "evaluated_indexes": set(range(len(cells))),
    }


def pth(folder: Path, cells: list[str]) -> Path:
    path = folder / "NAS-Bench-201-v1_1-096897.pth"
    torch.save(content(cells, "less", "full"), path, _use_new_zipfile_serialization=False)
    return path


def pbz2(folder: Path, cells: list[str]) -> Path:
    path = folder / "NATS-tss-v1_0-3ffb9.pickle.pbz2"
    path.write_bytes(bz2.compress(pickle.dumps(content(cells, "12", "200"), protocol=4)))
    return path


def simple(folder: Path, cells: list[str]) -> Path:
    path = folder / "NATS-tss-v1_0-3ffb9-simple"
    path.mkdir()
    of_cell = bz2.compress(pickle.dumps({"12": runs(12), "200": runs()}, protocol=4), 1)
    for index in range(len(cells)):
        (path / f"{index:06d}.pickle.pbz2").write_bytes(of_cell)
    meta = {"meta_archs": cells, "total_archs": len(cells)}
    (path / "meta.pickle.pbz2").write_bytes(bz2.compress(pickle.dumps(meta, protocol=4)))
    return path


Write = Callable[[Path, list[str]], Path]


@pytest.mark.parametrize("write", [pth, pbz2, simple])
def test_a_published_file_gives_the_mean_of_the_last_epochs(write: Write, tmp_path: Path) -> None:
    assert read_official(write(tmp_path, CELLS[:3])) == dict.fromkeys(CELLS[:3], TRAININGS)


def test_a_published_file_without_short_runs_has_those_of_200_epochs(tmp_path: Path) -> None:
    path = tmp_path / "a.pbz2"
    path.write_bytes(bz2.compress(pickle.dumps(content(CELLS[:1], "200"), protocol=4)))
    cifar100 = read_official(path)[CELLS[0]]["cifar100"]
    assert cifar100 == CellTraining({200: 70.0}, {200: 71.5}, {}, 1500.0)


@pytest.fixture
def own_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TUNE_NAS_BENCHMARK", str(tmp_path / "data" / "table.csv.gz"))
    return user_table()


@pytest.mark.parametrize("write", [pth, pbz2])
def test_an_imported_file_is_the_users_table(write: Write, own_table: Path, tmp_path: Path) -> None:
    table, target = import_benchmark(write(tmp_path, CELLS))
    assert target == own_table
    assert load_benchmark(own_table) == table
    assert load_trainings(own_table).rows[CELLS[7]] == TRAININGS
    assert (len(table.rows), table.query(CELLS[-1])) == (15_625, MEANS)


def test_the_compact_file_is_imported_as_it_is(shared_data_dir: Path, own_table: Path) -> None:
    table, _ = import_benchmark(shared_data_dir / "nasbench201.csv.gz")
    assert load_benchmark(own_table) == table
    assert load_trainings(own_table) == load_trainings(shared_data_dir / "nasbench201.csv.gz")


@pytest.mark.parametrize("write", [pth, pbz2, simple])
def test_a_file_that_lacks_cells_is_refused(write: Write, own_table: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has 3 of the 15,625 cells"):
        import_benchmark(write(tmp_path, CELLS[:3]))
    assert not own_table.exists()


class Harm:
    """What unpickling must never run."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("harm",)


def lacking(key: str) -> dict[str, Any]:
    found = content(CELLS[:1], "12", "200")
    del found["arch2infos"][0]["200"]["all_results"]["cifar10", 777]["eval_acc1es"][key]
    return found


BAD: list[tuple[str, Any, str]] = [
    ("a.pbz2", {"meta_archs": [], "arch2infos": Harm()}, "must hold containers and numbers alone"),
    ("a.pth", {"meta_archs": [], "arch2infos": Harm()}, "is no NAS-Bench-201 or NATS-Bench file"),
    ("a.pbz2", [1, 2], "is no NAS-Bench-201 or NATS-Bench file"),
    ("a.pbz2", {"weights": 1}, "nothing as expected at 'arch2infos'"),
    ("a.pth", {"weights": torch.zeros(2)}, "nothing as expected at 'arch2infos'"),
    ("a.pbz2", content(CELLS[:1], "12"), "the runs of 200 epochs"),
    ("a.pbz2", lacking("ori-test@199"), "nothing as expected at 'ori-test@199'"),
]


@pytest.mark.parametrize(("name", "held", "says"), BAD, ids=range(len(BAD)))
def test_what_is_no_published_file_is_refused_in_one_line(
    name: str, held: Any, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if name.endswith(".pth"):
        torch.save(held, name)
    else:
        Path(name).write_bytes(bz2.compress(pickle.dumps(held, protocol=4)))
    with pytest.raises(ConfigError) as caught:
        import_benchmark(Path(name))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["a.pth", "a.pickle.pbz2", "a.csv", "a.csv.gz", "a.txt", "absent"])
def test_a_file_of_something_else_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name != "absent":
        path.write_bytes(b"\x80\x04 no such thing")
    with pytest.raises(ConfigError) as caught:
        import_benchmark(path)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        import_benchmark(tmp_path)
