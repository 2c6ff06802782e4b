"""Black-box searches in two processes, against the same searches in one."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from gloo_processes import run_gloo
from small_searches import HALVING, RANDOM, epochs_of, small_trial

from tune_nas.candidates.candidate_search import CandidateSearch
from tune_nas.config import TrialConfig

WORKER = Path(__file__).with_name("candidate_worker.py")


def run_processes(
    folder: Path, trial: TrialConfig, start: Path | None = None, size: int = 2
) -> tuple[list[dict[str, float]], str]:
    """Return the metrics and the table of candidates, which must be those of all processes."""
    folder.mkdir()
    resumed = [] if start is None else [str(start)]
    (folder / "trial.json").write_text(json.dumps(trial.to_dict()))
    run_gloo(WORKER, size, str(folder), *resumed)
    found = [json.loads((folder / f"{rank}.json").read_text()) for rank in range(size)]
    assert all(each == found[0] for each in found)
    metrics, table = found[0]
    return metrics, table


def results(table: str) -> list[dict[str, Any]]:
    """Return the rows of a table, without the time at which a result was known."""
    rows = csv.DictReader(table.splitlines())
    return [{key: value for key, value in row.items() if key != "spent_epochs"} for row in rows]


@pytest.mark.parametrize(("strategy", "middle"), [(RANDOM, 4), (HALVING, 6)])
def test_two_processes_decide_as_one(strategy: dict[str, Any], middle: int, tmp_path: Path) -> None:
    """Same candidates, jobs and accuracies, bit for bit; and from any checkpoint, in any number.

    In the middle, two candidates are between two epochs of their jobs.
    """
    trial = small_trial(strategy, data__workers=0)
    alone = CandidateSearch(trial)
    epochs_of(alone, tmp_path / "alone")
    expected = results(alone.artifacts()["candidates.csv"])
    metrics, table = run_processes(tmp_path / "two", trial)
    assert results(table) == expected
    assert metrics[0]["epoch"] == 2 and metrics[-1]["epoch"] == alone.epoch
    assert metrics[-1]["valid_accuracy"] == alone.jobs.strategy.ranking()[0].accuracy
    left = [each for each in metrics if each["epoch"] > middle]
    one = CandidateSearch(trial)
    one.load(tmp_path / "two" / str(middle))
    assert len(one.jobs.running) == 2 and all(job.state for job in one.jobs.running)
    epochs_of(one)
    assert results(one.artifacts()["candidates.csv"]) == expected
    if strategy is RANDOM:
        again, _ = run_processes(tmp_path / "again", trial, tmp_path / "two" / str(middle))
        assert again == left
    else:  # states of paused candidates are missing in the new folder
        _, table = run_processes(tmp_path / "more", trial, tmp_path / "alone" / "4")
        assert results(table) == expected
