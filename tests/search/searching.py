"""Searches of a second, and the comparison of their states to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import yaml

from tune_nas.config import TrialConfig
from tune_nas.library import with_overrides
from tune_nas.search import Search

UNEQUAL_BY_NATURE = ("seconds", "memory_mib")
DARTS = {"name": "darts", "init_channels": 2, "cells": 3}


def tiny_trial(**overrides: Any) -> TrialConfig:
    """A search of 3 epochs, 2 steps each, on images made for tests."""
    base = {
        "space": {"name": "nasbench201", "init_channels": 2, "cells": 1},
        "data": {"name": "fake", "train_images": 64, "resolution": 8},
        "schedule": {"epochs": 3, "batch_size": 16},
        "retrain": {"init_channels": 4, "cells": 3},
    }
    return with_overrides(base, overrides)


# The second node has an edge more than a genotype keeps; two types of cell.
_CELL = {
    "inputs": 2,
    "nodes": 2,
    "edges": "all",
    "operations": ["none", "skip_connect", "avg_pool_3x3", "nor_conv_1x1", "nor_conv_3x3"],
    "output": "concat",
    "inputs_per_node": 2,
    "excluded": ["none"],
}


def small_trial(folder: Path, **overrides: Any) -> TrialConfig:
    """A search of one step an epoch in a small space with all that DARTS's has."""
    path = folder / "small.yaml"
    space = {
        "name": "small",
        "cells": {"normal": _CELL, "reduction": _CELL},
        "skeleton": {
            "layout": "thirds",
            "init_channels": 4,
            "cells": 3,
            "stem_multiplier": 1,
        },
    }
    path.write_text(yaml.safe_dump(space), encoding="utf-8")
    small = {
        "space": {"name": str(path)},
        "data.train_images": 32,
        "data.resolution": 4,
        "schedule.batch_size": 8,
        "schedule.steps_per_epoch": 1,
        "optimizer.alphas.learning_rate": 0.1,
    }
    return tiny_trial(**{**small, **overrides})


def finished(trial: TrialConfig) -> Search:
    """Run a search to its end."""
    search = Search(trial)
    while not search.done:
        search.run_epoch()
    return search


def assert_resumes_to_the_bit(trial: TrialConfig, folder: Path) -> Search:
    """Kill a search after every epoch and go on from there; all must end as one that ran through.

    Returns the one that ran through.
    """
    straight = Search(trial)
    while not straight.done:
        straight.run_epoch()
        straight.save(folder / f"after_{straight.epoch}")
    for killed_after in range(1, straight.epoch):
        resumed = Search(trial)
        resumed.load(folder / f"after_{killed_after}")
        assert resumed.epoch == killed_after
        while not resumed.done:
            resumed.run_epoch()
        assert_same_state(straight.state_dict(), resumed.state_dict(), f"after {killed_after}")
        assert straight.genotype == resumed.genotype
    return straight


def assert_same_state(one: Any, other: Any, where: str = "state") -> None:
    """Compare nested containers to the bit."""
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key, value in one.items():
            if key not in UNEQUAL_BY_NATURE:
                assert_same_state(value, other[key], f"{where}.{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for index, value in enumerate(one):
            assert_same_state(value, other[index], f"{where}[{index}]")
    else:
        assert one == other or (one != one and other != other), where
