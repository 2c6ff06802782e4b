"""The study that is written for inspection: learning curves, names, numeric axes."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from standin import MakeSweep

from tune_nas.sweep.config import SweepConfig
from tune_nas.sweep.optuna_source import OptunaSource
from tune_nas.sweep.parameters import Parameter
from tune_nas.sweep.resolve import base_trials
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.storage import Storage
from tune_nas.sweep.study_axes import axis_of

LAMBDA, LEVEL, RATE = "update.lambda", "update.level", "optimizer.weights.learning_rate"
PARAMETERS: dict[str, Any] = {
    RATE: {"loguniform": [0.001, 0.5]},
    LEVEL: {"choice": ["mixed", "bilevel"], "prior": "mixed"},
    LAMBDA: {"choice": [0.1, 1, "3", math.inf], "when": {LEVEL: "mixed"}, "prior": math.inf},
}


@pytest.mark.parametrize(
    ("content", "distribution", "stored"),
    [
        ({"loguniform": [0.1, 1]}, FloatDistribution(0.1, 1, log=True), {0.5: 0.5}),
        ({"uniform": [0, 1]}, FloatDistribution(0, 1), {0.5: 0.5}),
        ({"int": [1, 40]}, IntDistribution(1, 40), {3: 3}),
        ({"choice": [16, 64, 32]}, IntDistribution(16, 64), {32: 32, 64.0: 64}),
        ({"grid": [1, 8, 64]}, IntDistribution(1, 64, log=True), {8: 8}),
        ({"choice": [0, 0.1, 1]}, FloatDistribution(0, 1), {0: 0.0, 0.1: 0.1}),
        ({"choice": ["1e-3", 0.1]}, FloatDistribution(0.001, 0.1, log=True), {0.001: 0.001}),
        # inf: ten times the largest on a logarithmic axis, one width further on a linear one
        (
            {"choice": [0.1, 1, 3, math.inf]},
            FloatDistribution(0.1, 30, log=True),
            {math.inf: 30.0, 3.0: 3.0},
        ),
        ({"choice": [0, 1, 5, "inf"]}, FloatDistribution(0, 10), {math.inf: 10.0, 5.0: 5.0}),
        ({"choice": [2, math.inf]}, FloatDistribution(2, 3), {math.inf: 3.0}),
        # categories
        ({"choice": ["a", "b"]}, CategoricalDistribution(["a", "b"]), {"b": "b"}),
        ({"choice": [True, False]}, CategoricalDistribution([True, False]), {False: False}),
        ({"choice": [None, 2]}, CategoricalDistribution(["null", "2"]), {None: "null", 2.0: "2"}),
        (
            {"choice": [[0.5, "999e-3"], [0.9, 0.1]]},
            CategoricalDistribution(["[0.5, '999e-3']", "[0.9, 0.1]"]),
            {(0.9, 0.1): "[0.9, 0.1]"},
        ),
        ({"choice": [math.inf]}, CategoricalDistribution(["inf"]), {math.inf: "inf"}),
    ],
)
def test_numbers_have_numeric_axes(
    content: dict[str, Any], distribution: Any, stored: dict[Any, Any]
) -> None:
    axis = axis_of(Parameter.model_validate(content))
    assert axis.distribution == distribution
    for value, expected in stored.items():
        found = axis.of(value)
        assert found == expected and type(found) is type(expected)
        assert distribution._contains(distribution.to_internal_repr(found))


def curve(number: int, epochs: int) -> list[float]:
    return [50 + number + 0.5 * epoch for epoch in range(1, epochs + 1)]


def run(sweep: SweepConfig, folder: Path, sessions: int = 1) -> optuna.Study:
    """Run 6 trials: the third is stopped, the fourth fails, the fifth diverges, the last runs."""
    for session in range(sessions):
        url = f"sqlite:///{folder / f'{session}.db'}"
        records = Records(Storage(folder), "search")
        source = OptunaSource(sweep, base_trials(sweep), records, url)
        for number in range(6) if session == 0 else ():
            job = source.next()
            assert job is not None
            records.start(job)
            if number == 5:
                continue
            values = curve(number, 2 if number in (2, 3) else 4)
            if number == 4:
                values[-1] = math.nan
            for epoch, value in enumerate(values, start=1):
                stopped = "low at epoch 2" if number == 2 and epoch == 2 else ""
                result = {"epoch": epoch, "valid_accuracy": value, "genotype": "g"}
                records.add(job.id, result, stopped=stopped)
            source.tell(records.end(job.id, error="it failed" if number == 3 else None))
    return optuna.load_study(study_name=sweep.name, storage=url)


@pytest.mark.parametrize("sessions", [1, 2])
def test_a_trial_has_its_learning_curve(
    make_sweep: MakeSweep, tmp_path: Path, sessions: int
) -> None:
    """Written as the trials end, and at once by a resume: the same."""
    sweep = make_sweep(searcher="tpe", trials=6, parameters=PARAMETERS)
    study = run(sweep, tmp_path, sessions)
    assert study.metric_names == ["valid_accuracy"]
    assert study.user_attrs == {LAMBDA: "30 stands for inf"}
    trials = study.trials
    assert [t.number for t in trials] == list(range(6))
    assert [t.state.name for t in trials] == [
        *("COMPLETE", "COMPLETE", "PRUNED", "FAIL", "FAIL", "RUNNING")
    ]
    finished = dict(enumerate(curve(0, 4), start=1))
    assert trials[0].intermediate_values == finished and trials[0].value == finished[4]
    assert trials[2].intermediate_values == dict(enumerate(curve(2, 2), start=1))
    assert trials[2].value == curve(2, 2)[-1]
    assert trials[3].intermediate_values == dict(enumerate(curve(3, 2), start=1))
    assert trials[4].intermediate_values == dict(enumerate(curve(4, 3), start=1))
    assert [t.user_attrs.get("reason") for t in trials] == [
        *(None, None, "low at epoch 2", "it failed", None, None)
    ]
    records = list(Records(Storage(tmp_path), "search"))
    for trial, record in zip(trials, records, strict=True):
        job = record.job
        assert (trial.user_attrs["trial_id"], trial.user_attrs["seed"]) == (job.id, job.seed)
        shown = {k: 30.0 if v == math.inf else v for k, v in job.parameters.items()}
        assert trial.params == shown
        infinite = "inf" if job.parameters.get(LAMBDA) == math.inf else None
        assert trial.user_attrs.get(LAMBDA) == infinite
        if record.ended:
            assert trial.datetime_start is not None and trial.datetime_complete is not None
            assert trial.datetime_start <= trial.datetime_complete
    assert records[0].job.parameters[LAMBDA] == math.inf
    assert study.best_trial.number == 1


def test_a_database_that_cannot_be_written_ends_no_sweep(
    make_sweep: MakeSweep, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sweep = make_sweep(searcher="random", trials=3, parameters=PARAMETERS)
    records = Records(Storage(tmp_path), "search")
    with caplog.at_level(logging.WARNING):
        source = OptunaSource(
            sweep, base_trials(sweep), records, f"sqlite:///{tmp_path / 'no' / 'folder.db'}"
        )
        for _ in range(3):
            job = source.next()
            assert job is not None
            records.start(job)
            records.add(job.id, {"epoch": 4, "valid_accuracy": 1.0, "genotype": "g"})
            source.tell(records.end(job.id))
    assert caplog.text.count("optuna.db is not written any more") == 1
    assert [trial.state.name for trial in source.study.trials] == ["COMPLETE"] * 3


def test_a_database_that_is_lost_on_the_way_ends_no_sweep(
    make_sweep: MakeSweep, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sweep = make_sweep(searcher="random", trials=3, parameters=PARAMETERS)
    records = Records(Storage(tmp_path), "search")
    file = tmp_path / "lost.db"
    source = OptunaSource(sweep, base_trials(sweep), records, f"sqlite:///{file}")
    for number in range(3):
        job = source.next()
        assert job is not None
        records.start(job)
        records.add(job.id, {"epoch": 4, "valid_accuracy": 1.0, "genotype": "g"})
        if number == 1:
            file.write_bytes(b"not a database")
        source.tell(records.end(job.id))
    assert caplog.text.count("optuna.db is not written any more") == 1
