"""The names of trials in MLflow, which truncates them: what differs comes first."""

from __future__ import annotations

import math

import pytest

from tune_nas.library import load_trial
from tune_nas.sweep.jobs import Job
from tune_nas.tracking.names import present_name


@pytest.mark.parametrize(
    ("phase", "values", "name"),
    [
        ("search", {"update.lambda": math.inf}, "λ=inf s1"),
        ("repeat", {"update.lambda": math.inf}, "λ=inf s1 repeat"),
        (
            "retrain",
            {"update.lambda": 0.1, "update.level": "mixed"},
            "λ=0.1 level=mixed s1 retrain",
        ),
        ("search", {}, "s1 search"),
        ("analysis", {}, "s1 analysis"),
    ],
)
def test_a_run_is_named_by_what_differs(phase: str, values: dict[str, object], name: str) -> None:
    job = Job("t", "search", phase, load_trial("milenas", {"seed": 1}), values)
    assert job.run_name == name
    assert present_name(f"{phase} {job.label}") == name  # the name in earlier versions
