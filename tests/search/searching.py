"""Searches of a second, and the comparison of their states to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

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
