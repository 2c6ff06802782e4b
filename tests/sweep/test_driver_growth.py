"""The work of a driver grows in proportion to its trials: files and transactions are counted."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from counted_calls import Counts, count_calls
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from standin import GENOTYPE_FILE, TASKS, write_sweep

from tune_nas.library import load_trial
from tune_nas.sweep import RetrainGrid, RunOptions, run_retrain
from tune_nas.sweep.runs.storage import Storage


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counts:
    """The number of calls of the storage and of MLflow's store, by name."""
    found: Counts = Counter()
    count_calls(monkeypatch, found, Storage, ("write", "read", "read_bytes"))
    written = ("create_run", "log_batch", "log_inputs", "update_run_info", "get_run")
    count_calls(monkeypatch, found, SqlAlchemyStore, written)
    return found


def test_a_further_trial_costs_the_same_in_a_longer_run(tmp_path: Path, counts: Counts) -> None:
    file = write_sweep(tmp_path / "input")
    trial = load_trial(str(file.with_name("trial.yaml")), {"name": "one"})
    of_runs: dict[int, Counts] = {}
    for seeds in (2, 4, 8):
        storage = str(tmp_path / f"runs-{seeds}")  # in a common one, each lists the others
        options = RunOptions(storage=storage, quiet=True, concurrency=1)
        counts.clear()
        grid = RetrainGrid(genotypes=1, seeds=seeds)
        outcome = run_retrain(
            trial, GENOTYPE_FILE.read_text(), options, f"of-{seeds}", grid=grid, tasks=TASKS
        )
        assert len(outcome.results) == seeds and not outcome.untracked
        of_runs[seeds] = Counter(counts)
    names = counts.keys()
    assert {"write", "create_run", "log_batch"} <= names
    more = {name: of_runs[4][name] - of_runs[2][name] for name in names}
    assert {name: of_runs[8][name] - of_runs[4][name] for name in names} == {
        name: 2 * number for name, number in more.items()
    }
    # a record: started, its session, two epochs, its end, tracked; and its file in genotypes/
    assert more["write"] <= 2 * 8
    assert more["log_batch"] <= 2 * 6
