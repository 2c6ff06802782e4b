"""The memory of the trials of a sweep beside that of the machine, as a dry run says it."""

from __future__ import annotations

import pytest

from tune_nas.library import load_trial
from tune_nas.search.search_memory import estimate_search_memory
from tune_nas.sweep.memory_use import MemoryUse, memory_use

GIB = 2**30


def test_the_sentence_multiplies_by_the_trials_at_a_time() -> None:
    use = MemoryUse(3 * GIB, 2, 8 * GIB, "this machine")
    assert str(use) == (
        "about 3.0 GiB of memory per trial, 6.0 GiB with 2 at a time; this machine has 8.0 GiB"
    )
    assert use.fits
    assert use.to_dict() == {
        "mib_per_trial": 3072,
        "at_once": 2,
        "mib_available": 8192,
        "fits": True,
    }


def test_too_little_memory_is_said_with_a_remedy() -> None:
    use = MemoryUse(3 * GIB, 3, 8 * GIB, "this machine")
    assert not use.fits
    assert str(use).endswith(
        "this machine has 8.0 GiB, which may be too little: run fewer at a time (`concurrency`), "
        "or lower schedule.batch_size, or set runtime.recompute to cell"
    )
    assert str(MemoryUse(GIB, 1, None, "cpu")) == "about 1.0 GiB of memory per trial"


def test_the_largest_trial_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tune_nas.sweep.memory_use.resident_memory_mib", lambda: 100.0)
    monkeypatch.setattr("tune_nas.sweep.memory_use.memory_bytes", lambda device: 8 * GIB)
    size = {"space.init_channels": 16, "space.cells": 5, "runtime.device": "cpu"}
    small, large = (
        load_trial("darts-1st", {**size, "schedule.batch_size": batch}) for batch in (8, 64)
    )
    use = memory_use("search", [small, large, small], at_once=2)
    assert use is not None
    assert use.per_trial == estimate_search_memory(large) + 100 * 2**20
    assert (use.at_once, use.available) == (2, 8 * GIB)
    assert estimate_search_memory(small) < estimate_search_memory(large)
    recomputed = load_trial(
        "darts-1st", {**size, "schedule.batch_size": 64, "runtime.recompute": "cell"}
    )
    assert estimate_search_memory(recomputed) < estimate_search_memory(large)


def test_the_memory_of_a_retraining_run_is_not_known() -> None:
    assert memory_use("retrain", [load_trial("darts-1st")], at_once=1) is None
