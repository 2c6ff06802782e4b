"""Runs in a storage, written without running anything: with records, checkpoints and MLflow."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tune_nas.config import TrialConfig
from tune_nas.sweep.jobs import Job
from tune_nas.sweep.resolve import base_trials, load_sweep
from tune_nas.sweep.runs.plan import Plan, State
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.storage import Storage
from tune_nas.tasks import Inputs
from tune_nas.tracking import MlflowTracker


def store_run(
    root: str | Path,
    name: str,
    trials: Sequence[tuple[str, str, Mapping[str, float]]] = (),
    folder: Path | None = None,
    **state: Any,
) -> Plan:
    """Write a run: a grid of λ with one trial for each ``(id, status, last result)``.

    Args:
        root: The storage.
        name: Name of the run.
        trials: Its trials; the phase is the first part of the id.
        folder: Where the sweep's file is written; None for the storage.
        state: Entries of its state.
    """
    file = Path(folder or root) / f"sweep-{len(name)}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    values = {"update.lambda": {"grid": [0, 1, 2]}}
    file.write_text(json.dumps({"trial": "milenas", "parameters": values}))
    sweep = load_sweep(file).model_copy(update={"name": name})
    file.unlink()
    storage = Storage(root).within(name)
    plan = Plan(storage, sweep, base_trials(sweep), State(**{"identity": f"id of {name}", **state}))
    plan.write()
    for trial_id, status, result in trials:
        phase = trial_id.partition("-")[0]
        records = Records(storage, phase)
        number = int(trial_id.rpartition("-")[2])
        inputs = Inputs(parent="search-00000") if phase == "retrain" else Inputs()
        job = Job(trial_id, phase, phase, TrialConfig(), {"update.lambda": float(number)}, inputs)
        record = records.start(job)
        record.folders.append(f"{storage.root}/{phase}/{trial_id}")
        if result:
            records.add(trial_id, {"epoch": 1, **result})
        if status == "failed":
            records.end(trial_id, error="ValueError: no luck")
        elif status != "running":
            records.end(trial_id)
    return plan


def track(plan: Plan, uri: str) -> tuple[str, list[str]]:
    """Write the runs of a stored run to MLflow; return the ids of its run and of its trials."""
    tracker = MlflowTracker(uri)
    name = plan.sweep.name
    sweep_run = tracker.sweep_run(name, {"seeds": 1}, identity=plan.state.identity)
    trials = [
        tracker.trial_run(sweep_run, record.job.id, phase="search", parameters={})
        for record in Records(plan.storage, "search")
    ]
    return sweep_run, trials
