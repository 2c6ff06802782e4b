"""Priors: the values of the first sampled trials."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from sampled_keys import BATCH, LAMBDA, LEVEL, RATE
from standin import MakeSweep

from tune_nas.errors import ConfigError
from tune_nas.sweep.config import SweepConfig
from tune_nas.sweep.jobs import Job
from tune_nas.sweep.optuna_source import OptunaSource
from tune_nas.sweep.parameters import Parameter
from tune_nas.sweep.resolve import base_trials, resolve_trials
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.storage import Storage

PARAMETERS: dict[str, Any] = {
    RATE: {"loguniform": ["1e-3", 0.5], "prior": ["25e-3", 0.1, 0.2]},
    BATCH: {"int": [16, 64]},
    LEVEL: {"choice": ["bilevel", "mixed"], "prior": ["mixed", "bilevel"]},
    LAMBDA: {"choice": [0, 1, math.inf], "prior": ["inf", 1], "when": {LEVEL: "mixed"}},
}


def run(sweep: SweepConfig, records: Records, count: int, failing: bool = False) -> list[Job]:
    source = OptunaSource(sweep, base_trials(sweep), records)
    for _ in range(count):
        job = source.next()
        assert job is not None
        records.start(job)
        records.add(job.id, {"epoch": 4, "valid_accuracy": 50.0, "genotype": "g"})
        bad = failing and job.parameters.get(LAMBDA) == 1
        source.tell(records.end(job.id, error="it failed" if bad else None))
    return [record.job for record in records]


@pytest.mark.parametrize("searcher", ["random", "tpe", "nsga2"])
def test_the_first_trials_have_the_priors(
    make_sweep: MakeSweep, tmp_path: Path, searcher: str
) -> None:
    """A key without a prior is sampled; one whose condition is not met has none."""
    sweep = make_sweep(searcher=searcher, trials=6, parameters=PARAMETERS)
    jobs = run(sweep, Records(Storage(tmp_path / "a"), "search"), 6)
    first, second, third = (dict(job.parameters) for job in jobs[:3])
    assert len({job.parameters[BATCH] for job in jobs[:3]}) > 1
    assert (first.pop(BATCH), second.pop(BATCH)) != (None, None)
    assert first == {RATE: 0.025, LEVEL: "mixed", LAMBDA: math.inf}
    assert second == {RATE: 0.1, LEVEL: "bilevel"}
    assert third[RATE] == 0.2
    assert all(job.parameters[RATE] not in (0.025, 0.1, 0.2) for job in jobs[3:])

    for kill in (1, 2, 4):  # a resumed sweep samples the same
        folder = Storage(tmp_path / f"b{kill}")
        run(sweep, Records(folder, "search"), kill)
        assert run(sweep, Records(folder, "search"), 6 - kill) == jobs

    without = {key: {**own, "prior": []} for key, own in PARAMETERS.items()}
    plain = make_sweep(searcher=searcher, trials=6, parameters=without)
    if searcher == "random":  # which has no memory: the later trials are those without priors
        later = run(plain, Records(Storage(tmp_path / "c"), "search"), 6)[3:]
        assert [job.parameters for job in later] == [job.parameters for job in jobs[3:]]


def test_a_prior_that_has_failed_is_not_run_again(make_sweep: MakeSweep, tmp_path: Path) -> None:
    one = {LAMBDA: {"choice": [0, 1, 3], "prior": [1, 1]}}
    sweep = make_sweep(searcher="random", trials=3, parameters=one)
    jobs = run(sweep, Records(Storage(tmp_path), "search"), 3, failing=True)
    values = [job.parameters[LAMBDA] for job in jobs]
    assert values[0] == 1 and 1 not in values[1:]


def test_a_prior_is_recorded(make_sweep: MakeSweep) -> None:
    sweep = make_sweep(searcher="tpe", parameters=PARAMETERS)
    content = sweep.to_dict()
    assert content["parameters"][LEVEL] == PARAMETERS[LEVEL]
    assert "prior" not in content["parameters"][BATCH]
    assert SweepConfig.model_validate(content) == sweep


@pytest.mark.parametrize(
    ("content", "priors"),
    [
        ({"uniform": [0, 1], "prior": 1}, [1.0]),
        ({"int": [1, 4], "prior": [2, 3.0]}, [2, 3]),
        ({"choice": [[1, 2], [3, 4]], "prior": [1, 2]}, [[1, 2]]),
        ({"choice": [[1, 2], [3, 4]], "prior": [[3, 4], [1, 2]]}, [[3, 4], [1, 2]]),
        ({"choice": [None, 2], "prior": [None]}, [None]),
        ({"choice": ["1e-3", 2], "prior": 0.001}, ["1e-3"]),
        ({"grid": [0, 2]}, []),
    ],
)
def test_priors_become_values_of_the_key(content: dict[str, Any], priors: list[Any]) -> None:
    found = Parameter.model_validate(content).priors
    assert found == priors and [type(value) for value in found] == [type(v) for v in priors]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parameters": {RATE: {"uniform": [0.1, 1], "prior": 2}}}, r"prior is 2, but must be in"),
        ({"parameters": {RATE: {"uniform": [0.1, 1], "prior": "a"}}}, "prior is 'a', but must be"),
        ({"parameters": {RATE: {"uniform": [0.1, 1], "prior": math.nan}}}, "prior is nan, but mus"),
        ({"parameters": {BATCH: {"int": [16, 64], "prior": 20.5}}}, "20.5, but must be a whole"),
        ({"parameters": {BATCH: {"int": [16, 64], "prior": True}}}, "prior is True, but must be"),
        ({"parameters": {LAMBDA: {"choice": [0, 1], "prior": 2}}}, r"must be one of \[0, 1\]"),
        (
            {"searcher": "grid", "parameters": {LAMBDA: {"choice": [0, 1], "prior": 1}}},
            "update.lambda has a prior, which searcher 'grid' does not read; take searcher",
        ),
        (
            {"trials": 1, "parameters": {LAMBDA: {"choice": [0, 1], "prior": [0, 1]}}},
            "update.lambda has 2 priors, one for each trial, but trials is 1; give at mo",
        ),
        (
            {
                "set": {"relaxation.partial_channels": 4},
                "parameters": {"space.init_channels": {"int": [8, 32], "prior": [8, 9]}},
            },
            "at space.init_channels=9: .*divi",
        ),
    ],
)
def test_priors_that_a_key_cannot_have(
    make_sweep: MakeSweep, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        resolve_trials(*_with_bases(make_sweep(**{"searcher": "random", **changes})))
    assert "\n" not in str(raised.value)


def _with_bases(sweep: SweepConfig) -> tuple[SweepConfig, Any]:
    return sweep, base_trials(sweep)
