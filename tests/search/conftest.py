"""Makes what the tests of this folder share importable, and a finished search."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from searching import small_trial

from tune_nas.config import TrialConfig
from tune_nas.search import Search


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a finished search."""
    return tmp_path_factory.mktemp("finished")


@pytest.fixture(scope="module")
def trial(folder: Path) -> TrialConfig:
    """Return the trial of the finished search, of two epochs."""
    return small_trial(folder, **{"schedule.epochs": 2})


@pytest.fixture(scope="module")
def checkpoint(folder: Path, trial: TrialConfig) -> Path:
    """Return the last checkpoint of the search; ``unfinished`` beside it is of its first epoch."""
    search = Search(trial)
    search.run_epoch()
    search.save(folder / "unfinished")
    search.run_epoch()
    search.save(folder / "checkpoint")
    return folder / "checkpoint"
