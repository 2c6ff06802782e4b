"""Several objectives and constraints of a sweep: their spelling, and the study that has them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from objective_records import ACCURATE, BOTH, LAMBDA, PARAMETERS, SMALL, add, options
from standin import TASKS, MakeSweep

from tune_nas.errors import ConfigError
from tune_nas.sweep import run_sweep
from tune_nas.sweep.config import SweepConfig
from tune_nas.sweep.optuna_source import OptunaSource
from tune_nas.sweep.resolve import base_trials
from tune_nas.sweep.runs.plan import SWEEP, Plan, State, read_plan
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.storage import Storage

TWO_RANGES = {
    LAMBDA: {"uniform": [0, 1]},
    "optimizer.weights.learning_rate": {"loguniform": [0.001, 0.5]},
}

BAD: list[tuple[dict[str, Any], str]] = [
    ({"metrics": BOTH, "metric": "gap"}, "metric is 'gap', but metrics has the objectives; remove"),
    (
        {"metrics": BOTH, "mode": "min"},
        "mode is 'min', but metrics has the objectives; remove mode",
    ),
    ({"metrics": [ACCURATE]}, "must list at least 2 objectives; for one, give metric and mode"),
    ({"metrics": [ACCURATE, {"name": "parameters"}]}, "key 'metrics.1.mode' is missing"),
    ({"metrics": [{"mode": "max"}, SMALL]}, "key 'metrics.0.name' is missing"),
    ({"metrics": [{**ACCURATE, "mode": "most"}, SMALL]}, "metrics.0.mode is 'most', but must be"),
    ({"metrics": [SMALL, {**SMALL, "name": PARAMETERS}]}, f"metrics has '{PARAMETERS}' twice"),
    ({"metrics": [ACCURATE, {**SMALL, "reference": "x"}]}, "metrics.1.reference is 'x'"),
    ({"metrics": "parameters"}, "metrics is 'parameters', but must be a list"),
    ({"metrics": ["parameters", "gap"]}, "metrics.0 is 'parameters', but must be a mapping"),
    ({"metrics": BOTH, "scheduler": "asha"}, "scheduler is 'asha', but it stops trials by one"),
    (
        {"metrics": BOTH, "searcher": "cmaes", "parameters": TWO_RANGES},
        "searcher is 'cmaes', but it samples for one metric; with metrics, take searcher 'tpe'",
    ),
    (
        {"metrics": BOTH, "repeat": {"best": 2, "seeds": 2, "max_seeds": 4}},
        "repeat.max_seeds is given, but a race over seeds is by one metric",
    ),
    (
        {"metrics": [ACCURATE, {"name": "retrain/test_accuracy", "mode": "max"}]},
        "metrics has 'retrain/test_accuracy' and 'valid_accuracy', by which the searches",
    ),
    (
        {"metrics": [SMALL, {"name": "retrain/test_accuracy", "mode": "max"}], "retrain": 0},
        "metric is 'retrain/test_accuracy', but retrain is 0",
    ),
    (
        {"metrics": [SMALL, {"name": "retrain/loss", "mode": "max"}]},
        "metric is 'retrain/loss', but of a retraining it must be 'retrain/test_accuracy'",
    ),
    ({"constraints": "parameters <= 3"}, "constraints is 'parameters <= 3', but must be a list"),
    ({"constraints": ["parameters <= 3", "genotype/parameters <= 4"]}, "beside another such bound"),
    ({"constraints": ["retrain/test_accuracy >= 9"]}, "must be about metrics of a search"),
    ({"retrain": "pareto"}, "must be 'each', 'frontier', 'model-sizes', a number of"),
    *(
        ({"constraints": [text]}, f"'{text}' must be a metric, <= or >=, and a number, e.g. ")
        for text in (
            *("parameters < 3", "parameters == 3", "parameters <= x", "<= 3", "3 <= parameters"),
            *("parameters <= inf", "parameters <= nan", "parameters <= 1e999", "parameters <= 3 4"),
            *("parameters <= 1_000", "f(x) <= 3", "", "parameters <= 3; gap <= 2"),
        )
    ),
]


@pytest.mark.parametrize(("changes", "says"), BAD)
def test_bad_objectives_and_constraints_say_what_is_wrong_in_one_line(
    make_sweep: MakeSweep, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError) as error:
        make_sweep(**changes)
    assert says in str(error.value) and "\n" not in str(error.value)


def test_objectives_are_recorded_with_their_full_names(
    make_sweep: MakeSweep, tmp_path: Path
) -> None:
    sweep = make_sweep(metrics=[SMALL, ACCURATE], constraints=["parameters<=3.5e6"])
    assert (sweep.metric, sweep.mode) == (PARAMETERS, "min")  # what has one metric has the first
    folder = tmp_path / sweep.name  # a run has the name of its folder
    Plan(Storage(folder), sweep, base_trials(sweep), State()).write()
    recorded = yaml.safe_load((folder / SWEEP).read_text())
    assert recorded["metrics"][0] == {"name": PARAMETERS, "mode": "min", "reference": None}
    assert not recorded.keys() & {"metric", "mode"}
    assert read_plan(Storage(folder)).sweep == sweep


def test_a_sweep_of_one_metric_is_recorded_as_before(make_sweep: MakeSweep) -> None:
    recorded = make_sweep().to_dict()
    assert (recorded["metric"], recorded["mode"]) == ("valid_accuracy", "max")
    assert (recorded["metrics"], recorded["constraints"]) == (None, [])
    before = {k: v for k, v in recorded.items() if k not in ("metrics", "constraints")}
    assert SweepConfig.model_validate(before) == make_sweep()


SAMPLED: dict[str, Any] = {
    "parameters": {LAMBDA: {"uniform": [0, 1]}, "relaxation.kind": {"choice": ["softmax"]}},
    "retrain": 0,
}


def sample(sampled: OptunaSource, records: Records, count: int, small: float = 0.2) -> None:
    """Accuracy is best at λ = 0.6, and the number of parameters at the other λ."""
    for _ in range(count):
        job = sampled.next()
        assert job is not None
        value = job.parameters[LAMBDA]
        assert isinstance(value, float)
        add(records, job, 80 - (value - 0.6) ** 2, 1e6 + (value - small) ** 2)
        sampled.tell(records[job.id])


def values(records: Records) -> list[float]:
    return [float(str(record.job.parameters[LAMBDA])) for record in records]


@pytest.mark.parametrize("searcher", ["random", "tpe", "nsga2"])
def test_a_study_has_all_objectives_and_constraints_and_resumes(
    make_sweep: MakeSweep, tmp_path: Path, searcher: str
) -> None:
    sweep = make_sweep(
        searcher=searcher,
        metrics=BOTH,
        trials=30,
        constraints=["valid_accuracy >= 79.9"],
        **SAMPLED,
    )
    bases = base_trials(sweep)
    records = Records(Storage(tmp_path / "whole"), "search")
    url = f"sqlite:///{tmp_path / 'optuna.db'}"
    source = OptunaSource(sweep, bases, records, url)
    sample(source, records, 30)
    directions = [direction.name for direction in source.study.directions]
    assert directions == ["MAXIMIZE", "MINIMIZE"]
    for trial, value in zip(source.study.trials, values(records), strict=True):
        assert trial.values == [80 - (value - 0.6) ** 2, 1e6 + (value - 0.2) ** 2]
        if hasattr(trial, "constraints"):
            excess = trial.constraints["valid_accuracy >= 79.9"]
        else:
            (excess,) = trial.user_attrs["constraints"]
        assert excess == 79.9 - trial.values[0]
    cut = Records(Storage(tmp_path / "cut"), "search")
    sample(OptunaSource(sweep, bases, cut), cut, 17)
    again = Records(Storage(tmp_path / "cut"), "search")
    sample(OptunaSource(sweep, bases, again), again, 13)
    assert values(again) == values(records)
    stored = optuna.load_study(study_name=sweep.name, storage=url)
    assert stored.metric_names == ["valid_accuracy", PARAMETERS]
    assert [trial.values for trial in stored.trials] == [t.values for t in source.study.trials]


def test_tpe_samples_the_front_and_what_is_feasible(make_sweep: MakeSweep, tmp_path: Path) -> None:
    """The front is λ in [0.5, 0.6]; the constraint takes [0.55, 0.65]."""
    free: list[float] = []
    bounded: list[float] = []
    for seed in range(3):
        for bounds, sampled in ((list[str](), free), (["valid_accuracy >= 79.9975"], bounded)):
            own = {"seed": seed, "trials": 40, "constraints": bounds}
            sweep = make_sweep(searcher="tpe", metrics=BOTH, **own, **SAMPLED)
            records = Records(Storage(tmp_path / f"{seed} {len(bounds)}"), "search")
            sample(OptunaSource(sweep, base_trials(sweep), records), records, 40, 0.5)
            sampled += values(records)[15:]

    def share(sampled: list[float], low: float, high: float) -> float:
        return sum(low <= value <= high for value in sampled) / len(sampled)

    # 0.1 at random; 0.27, 0.28 and 0.19 with Optuna 5.0, 0.23, 0.24 and 0.16 with 4.9
    assert share(free, 0.5, 0.6) > 0.18
    assert share(bounded, 0.55, 0.65) > 0.18
    assert share(bounded, 0.55, 0.65) > share(free, 0.55, 0.65)


def test_a_failed_trial_violates_the_constraints_without_limit(
    make_sweep: MakeSweep, tmp_path: Path
) -> None:
    own = {"trials": 3, "constraints": ["parameters <= 2e6"]}
    sweep = make_sweep(searcher="tpe", metrics=BOTH, **own, **SAMPLED)
    records = Records(Storage(tmp_path), "search")
    source = OptunaSource(sweep, base_trials(sweep), records)
    job = source.next()
    assert job is not None
    records.start(job)
    source.tell(records.end(job.id, error="it failed"))
    (trial,) = source.study.trials
    assert (trial.state.name, trial.values) == ("PRUNED", None)
    if hasattr(trial, "constraints"):
        assert trial.constraints == {"parameters <= 2e6": math.inf}
    else:
        assert trial.user_attrs["constraints"] == [math.inf]


@pytest.mark.sweep
def test_an_objective_that_no_search_reports_ends_the_sweep(
    make_sweep: MakeSweep, tmp_path: Path, ray_session: None
) -> None:
    sweep = make_sweep(metrics=[ACCURATE, {"name": "genotype/skip", "mode": "min"}])
    with pytest.raises(
        ConfigError, match="metric is 'genotype/skip', which no search reports; did"
    ):
        run_sweep(sweep, options(tmp_path), "unknown", tasks=TASKS)
    sweep = make_sweep(constraints=["parameters <= 3"])
    with pytest.raises(ConfigError, match=f"metric is '{PARAMETERS}', which no search reports"):
        run_sweep(sweep, options(tmp_path), "bounded", tasks=TASKS)
