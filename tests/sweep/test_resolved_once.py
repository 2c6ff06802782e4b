"""A grid is resolved once, and each of its trials is validated once here and once in its worker."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from standin import write_sweep

from tune_nas.config import TrialConfig
from tune_nas.shipped import find
from tune_nas.sweep import RunOptions, load_sweep, resolve, run_sweep, runner
from tune_nas.sweep.cost import estimate
from tune_nas.sweep.jobs import Job
from tune_nas.sweep.phases import jobs_of, read_records
from tune_nas.sweep.resolve import base_trials, resolve_points
from tune_nas.sweep.runs.plan import Plan, State
from tune_nas.sweep.runs.storage import Storage

LAMBDAS = [0.25, 0.75, 3]
SMALL = {
    "space": {"name": "nasbench201", "init_channels": 2, "cells": 1},
    "data": {"name": "fake", "train_images": 32, "resolution": 8},
}

Validated = Counter[tuple[float | None, int]]


@pytest.fixture
def validated(monkeypatch: pytest.MonkeyPatch) -> Validated:
    """The number of validations of each trial, by λ and seed."""
    counts: Validated = Counter()
    validate = TrialConfig.model_validate

    def counted(content: Any) -> TrialConfig:
        trial = validate(content)
        counts[trial.update.lambda_, trial.seed] += 1
        return trial

    monkeypatch.setattr(TrialConfig, "model_validate", counted)
    return counts


def test_from_the_file_to_the_worker(
    tmp_path: Path, validated: Validated, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans: list[Plan] = []
    monkeypatch.setattr(runner, "_run", lambda plan, *_, **__: plans.append(plan))
    parameters = {"update.lambda": {"grid": LAMBDAS}}
    file = write_sweep(tmp_path / "input", parameters=parameters, seeds=2)
    space = tmp_path / "space.yaml"
    space.write_text(find("space", "nasbench201").read_text())
    trial = yaml.safe_load((file.parent / "trial.yaml").read_text())
    own = {**SMALL, "space": {**SMALL["space"], "name": str(space)}}
    (file.parent / "trial.yaml").write_text(yaml.safe_dump({**trial, **own}))
    monkeypatch.chdir(tmp_path)
    sweep = load_sweep(file)
    run_sweep(sweep, RunOptions(storage=str(tmp_path / "runs"), quiet=True), "named")

    jobs = jobs_of(plans[0], "search", read_records(plans[0]))
    points = {(value, seed) for value in LAMBDAS for seed in (0, 1)}
    assert {(job.trial.update.lambda_, job.seed) for job in jobs} == points
    assert {point: validated[point] for point in points} == dict.fromkeys(points, 1)
    for job in jobs:
        assert Job.from_dict(job.to_dict()).trial == job.trial
    assert {point: validated[point] for point in points} == dict.fromkeys(points, 2)


def test_the_estimate_and_the_plan_take_the_trials_of_the_loaded_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []
    original = resolve.resolve
    monkeypatch.setattr(resolve, "resolve", lambda *args: made.append(args) or original(*args))
    changes = {"parameters": {"update.lambda": {"grid": LAMBDAS}}, "embedded": {}}
    file = write_sweep(tmp_path / "input", **changes)
    trial = yaml.safe_load((file.parent / "trial.yaml").read_text())
    (file.parent / "trial.yaml").write_text(yaml.safe_dump({**trial, **SMALL}))
    sweep = load_sweep(file)
    estimate(sweep)
    plan = Plan(Storage(tmp_path), sweep, base_trials(sweep), State())
    assert len(plan.resolved.points) == len(made) == len(LAMBDAS)


def test_another_sweep_or_another_trial_is_resolved_again(tmp_path: Path) -> None:
    file = write_sweep(tmp_path / "input", parameters={"update.lambda": {"grid": LAMBDAS}})
    first = resolve_points(sweep := load_sweep(file), base_trials(sweep))
    renamed = sweep.model_copy(update={"name": "other"})
    assert resolve_points(renamed, base_trials(renamed)) is first
    more = load_sweep(file, seeds=2)
    assert len(resolve_points(more, base_trials(more)).trials) == 2 * len(first.trials)
    trial = file.parent / "trial.yaml"
    trial.write_text(yaml.safe_dump({**yaml.safe_load(trial.read_text()), **SMALL}))
    (_, _, changed), *_ = resolve_points(sweep, base_trials(sweep)).trials
    assert changed.space.name == "nasbench201"
