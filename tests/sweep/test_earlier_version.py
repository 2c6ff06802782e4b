"""A sweep that an earlier version began is resumed: its files are in ``before``.

It has two searches of three epochs and a retraining run for each. The driver was killed after the
first epoch of the second search. MLflow's files and most checkpoints are left out.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tune_nas.report import TrialResult
from tune_nas.sweep import RunOptions, load_sweep, resume_sweep, run_sweep
from tune_nas.sweep.runs.plan import read_plan
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.storage import Storage
from tune_nas.tracking import RunReader

pytestmark = pytest.mark.sweep
BEFORE = Path(__file__).with_name("before")
MEASURED = ("seconds", "memory_mib")
SINCE = "genotype/multiply_adds"  # a metric that the earlier version did not report


def facts(results: list[TrialResult]) -> dict[str, tuple[Any, ...]]:
    """The results by trial, without their metrics."""
    return {r.trial_id: (r.phase, r.status, r.parent, r.genotype) for r in results}


def metrics(results: list[TrialResult]) -> list[dict[str, float]]:
    """The metrics of all epochs of all trials that both versions report."""
    ordered = sorted(results, key=lambda result: result.trial_id)
    return [
        {k: v for k, v in epoch.items() if k not in (*MEASURED, SINCE)}
        for result in ordered
        for epoch in result.history
    ]


def test_its_state_and_its_records_are_read_with_the_names_of_this_version() -> None:
    assert '"stage"' in (BEFORE / "state.json").read_text()
    assert read_plan(Storage(BEFORE)).state.phase == "search"
    records = Records(Storage(BEFORE), "search")
    jobs = {r.job.id: (r.job.phase, r.job.task, r.result().phase, r.epoch) for r in records}
    assert jobs == {
        "search-00000": ("search", "search", "search", 3),
        "search-00001": ("search", "search", "search", 1),
    }


def test_it_ends_as_a_sweep_of_this_version(tmp_path: Path, ray_session: None) -> None:
    options = RunOptions(storage=str(tmp_path / "runs"), concurrency=1, quiet=True)
    shutil.copytree(BEFORE, tmp_path / "runs" / "before")
    resumed = resume_sweep("before", options)

    trials = yaml.safe_load((BEFORE / "trials.yaml").read_text())
    (tmp_path / "trial.yaml").write_text(yaml.safe_dump(trials["trial.yaml"]))
    sweep = yaml.safe_load((BEFORE / "sweep.yaml").read_text())
    content = {**sweep, "trial": str(tmp_path / "trial.yaml"), "name": "now"}
    (tmp_path / "now.yaml").write_text(yaml.safe_dump(content))
    whole = run_sweep(load_sweep(tmp_path / "now.yaml"), options)

    assert facts(resumed.results) == facts(whole.results)
    # the first epochs are from another processor, which may round otherwise
    for found, expected in zip(metrics(resumed.results), metrics(whole.results), strict=True):
        assert found == pytest.approx(expected, rel=1e-4)
    assert [result.status for result in resumed.results] == ["finished"] * 4
    searched = {result.trial_id: result.history for result in resumed.results}
    assert [SINCE in epoch for epoch in searched["search-00001"]] == [False, True, True]
    first = json.loads((BEFORE / "search/records/search-00000.json").read_text())
    assert resumed.results[0].history == first["history"]  # it had finished, and was not run again

    reader = RunReader(resumed.mlflow_uri)
    runs = {r.trial_id: r for r in reader.list_runs() if r.sweep == "before" and r.trial_id}
    assert {run.state for run in runs.values()} == {"FINISHED"} and len(runs) == 4
    for trial_id in ("search-00000", "search-00001"):
        for name in ("alphas.csv", "alphas.png", "best_by_size.yaml", "genotype.yaml"):
            assert reader.read_artifact(runs[trial_id].run_id, name)
