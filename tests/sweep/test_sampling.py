"""Samples of random and TPE: no search twice, no failed configuration again, as recorded."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
import pytest
from standin import MakeSweep

from tune_nas.errors import ConfigError
from tune_nas.sweep.config import SweepConfig
from tune_nas.sweep.jobs import Job
from tune_nas.sweep.optuna_source import OptunaSource
from tune_nas.sweep.phases import ranked, repeat_jobs
from tune_nas.sweep.resolve import base_trials
from tune_nas.sweep.runs.plan import SWEEP, Plan, State, read_plan
from tune_nas.sweep.runs.record import Record
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.storage import Storage
from tune_nas.sweep.samplers import make_sampler

README: dict[str, Any] = {
    "set": {"update.lambda": None},
    "parameters": {
        "update.level": {"choice": ["bilevel", "mixed"]},
        "update.lambda_prime": {"uniform": [0, 1], "when": {"update.level": "mixed"}},
        "relaxation.kind": {"choice": ["softmax", "sigmoid"]},
    },
}
FOUR: dict[str, Any] = {
    "update.lambda": {"choice": [0, 1]},
    "relaxation.kind": {"choice": ["softmax", "sigmoid"]},
}


def source(sweep: SweepConfig, records: Records) -> OptunaSource:
    return OptunaSource(sweep, base_trials(sweep), records)


def accuracy(job: Job) -> float:
    level = {"mixed": 3.0}.get(job.parameters.get("update.level", ""), 0.0)
    return 60 + level + job.parameters.get("update.lambda_prime", 0.0) + 0.1 * (job.seed % 7)


def run(sampled: OptunaSource, records: Records, count: int, bad: str = "") -> None:
    """Run trials; with this relaxation they fail, or diverge where it begins with 'nan '."""
    for _ in range(count):
        job = sampled.next()
        if job is None:
            return
        records.start(job)
        hit = bad.removeprefix("nan ") == job.parameters.get("relaxation.kind")
        value = math.nan if hit and bad.startswith("nan ") else accuracy(job)
        records.add(job.id, {"epoch": 4, "valid_accuracy": value, "genotype": "g"})
        error = "it failed" if hit and not bad.startswith("nan ") else None
        sampled.tell(records.end(job.id, error=error))


def values(record: Record) -> tuple[Any, ...]:
    return tuple(sorted(record.job.parameters.items()))


@pytest.mark.parametrize("searcher", ["random", "tpe"])
def test_forty_trials_are_forty_different_searches(
    make_sweep: MakeSweep, tmp_path: Path, searcher: str
) -> None:
    """README's sweep: bilevel has two configurations, which are sampled again and again."""
    sweep = make_sweep(searcher=searcher, trials=40, repeat={"best": 3, "seeds": 4}, **README)
    records = Records(Storage(tmp_path), "search")
    run(source(sweep, records), records, 40)
    seeds: dict[tuple[Any, ...], list[int]] = {}
    for record in records:
        assert record.job.trial.seed == record.job.seed
        seeds.setdefault(values(record), []).append(record.job.seed)
    assert sum(len(of_one) for of_one in seeds.values()) == 40
    assert max(len(of_one) for of_one in seeds.values()) > 4
    # Seed 0 is that of the sweep, 1 to 4 are those of the repeats, which remain unused.
    for of_one in seeds.values():
        assert of_one == [0, *range(5, 4 + len(of_one))]
    repeats = repeat_jobs(sweep, base_trials(sweep), records)
    assert Counter(job.seed for job in repeats) == {1: 3, 2: 3, 3: 3, 4: 3}
    assert max(len(group) for group in ranked(sweep, records)) == max(map(len, seeds.values()))


def test_without_repeats_the_next_seed_is_the_next_number(
    make_sweep: MakeSweep, tmp_path: Path
) -> None:
    one = {"relaxation.kind": {"choice": ["softmax"]}}
    sweep = make_sweep(searcher="random", trials=4, seeds=[2**31 - 3], parameters=one)
    records = Records(Storage(tmp_path), "search")
    run(source(sweep, records), records, 4)
    assert [record.job.seed for record in records] == [2**31 - 3, 2**31 - 2, 2**31 - 1, 0]


@pytest.mark.parametrize("bad", ["sigmoid", "nan sigmoid"])
def test_a_failed_configuration_is_not_sampled_again(
    make_sweep: MakeSweep, tmp_path: Path, bad: str
) -> None:
    sweep = make_sweep(searcher="tpe", trials=30, parameters=FOUR)
    records = Records(Storage(tmp_path / "whole"), "search")
    sampled = source(sweep, records)
    run(sampled, records, 30, bad)
    assert len(records) == 30
    count = Counter(values(record) for record in records)
    hit = [key for key in count if ("relaxation.kind", "sigmoid") in key]
    assert [count[key] for key in hit] == [1, 1]
    told = [t for t in sampled.study.trials if "trial_id" in t.user_attrs]
    states = Counter((t.state.name, t.value, t.user_attrs.get("failed")) for t in told)
    assert states.pop(("PRUNED", None, True)) == 2
    assert sum(states.values()) == 28 and {state for state, *_ in states} == {"COMPLETE"}
    # A resumed sweep samples the same.
    cut = Records(Storage(tmp_path / "cut"), "search")
    run(source(sweep, cut), cut, 13, bad)
    again = Records(Storage(tmp_path / "cut"), "search")
    run(source(sweep, again), again, 17, bad)
    assert [record.job for record in again] == [record.job for record in records]


def test_a_sweep_whose_configurations_have_all_failed_ends(
    make_sweep: MakeSweep, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = {"relaxation.kind": {"choice": ["sigmoid"]}, "update.lambda": {"choice": [0, 1]}}
    sweep = make_sweep(searcher="random", trials=30, parameters=one)
    records = Records(Storage(tmp_path), "search")
    sampled = source(sweep, records)
    run(sampled, records, 30, "sigmoid")
    assert len(records) == 2 and sampled.next() is None
    assert "sampling ends after 2 of 30 trials" in caplog.text
    assert source(sweep, Records(Storage(tmp_path), "search")).next() is None


def test_an_infinite_accuracy_is_not_told_as_the_best(
    make_sweep: MakeSweep, tmp_path: Path
) -> None:
    sweep = make_sweep(searcher="tpe", trials=2, parameters=FOUR)
    records = Records(Storage(tmp_path), "search")
    sampled = source(sweep, records)
    job = sampled.next()
    assert job is not None
    records.start(job)
    records.add(job.id, {"epoch": 4, "valid_accuracy": math.inf, "genotype": "g"})
    sampled.tell(records.end(job.id))
    (trial,) = sampled.study.trials
    assert (trial.state.name, trial.value, trial.user_attrs["failed"]) == ("PRUNED", None, True)


def test_tpe_moves_away_from_where_trials_fail(make_sweep: MakeSweep, tmp_path: Path) -> None:
    """Half of the range fails; told as FAIL, most later trials would be there."""
    parameters = {"update.lambda": {"uniform": [0, 1]}}
    share, told_as_fail = [], []
    for seed in range(5):
        study = optuna.create_study(
            direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed)
        )
        for number in range(50):
            trial = study.ask()
            value = trial.suggest_float("lambda", 0, 1)
            if value <= 0.5:
                study.tell(trial, 80 - (value - 0.3) ** 2)
                continue
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            told_as_fail.append(number >= 20)
        sweep = make_sweep(searcher="tpe", trials=50, seed=seed, parameters=parameters)
        records = Records(Storage(tmp_path / str(seed)), "search")
        sampled = source(sweep, records)
        failed = []
        while (job := sampled.next()) is not None:
            records.start(job)
            value = job.parameters["update.lambda"]
            metrics = {"valid_accuracy": 80 - (value - 0.3) ** 2}
            records.add(job.id, {"epoch": 4, "genotype": "g", **metrics})
            failed.append(value > 0.5)
            sampled.tell(records.end(job.id, error="it failed" if value > 0.5 else None))
        share.append(sum(failed[20:]) / 30)
    assert sum(share) / len(share) < 0.3
    assert sum(told_as_fail) / (5 * 30) > 0.9


def test_duplicates_of_an_earlier_version_are_counted_once(
    make_sweep: MakeSweep, tmp_path: Path
) -> None:
    """It ran the same search twice, with keys in the records that are fewer than today's."""
    one = {"relaxation.kind": {"choice": ["softmax"]}}
    sweep = make_sweep(searcher="random", trials=4, parameters=one)
    records = Records(Storage(tmp_path), "search")
    first = source(sweep, records).next()
    assert first is not None
    old = first.to_dict()
    del old["trial"]["relaxation"]
    for number in (0, 1):
        job = Job.from_dict({**old, "id": f"search-{number:05d}"})
        records.start(job)
        records.add(job.id, {"epoch": 4, "valid_accuracy": 60.0, "genotype": "g"})
        records.end(job.id)
    third = source(sweep, records).next()
    assert third is not None and (third.id, third.seed) == ("search-00002", first.seed + 1)
    assert [len(group) for group in ranked(sweep, records)] == [1]


@pytest.mark.parametrize(
    ("parameters", "tpe", "group"),
    [
        (FOUR, {}, False),
        (README["parameters"], {}, True),
        (README["parameters"], {"group": False}, False),
        (README["parameters"], {"multivariate": False}, False),
        (FOUR, {"group": True}, True),
    ],
)
def test_conditional_keys_are_sampled_in_groups(
    make_sweep: MakeSweep, parameters: Any, tpe: dict[str, Any], group: bool
) -> None:
    fixed = README["set"] if parameters is README["parameters"] else {}
    sweep = make_sweep(searcher="tpe", parameters=parameters, set=fixed, tpe=tpe)
    recorded = sweep.to_dict()["tpe"]
    assert recorded["group"] is group
    assert SweepConfig.model_validate(sweep.to_dict()) == sweep
    assert recorded == {
        "multivariate": True,
        "constant_liar": True,
        "n_startup_trials": 10,
        "n_ei_candidates": 24,
        **tpe,
        "group": group,
    }


def test_groups_need_joint_sampling(make_sweep: MakeSweep) -> None:
    with pytest.raises(ConfigError, match="group is true, but needs multivariate: true"):
        make_sweep(searcher="tpe", tpe={"group": True, "multivariate": False})


def test_a_sweep_without_recorded_arguments_continues_with_optunas(
    make_sweep: MakeSweep, tmp_path: Path
) -> None:
    """As the version did that recorded none: `TPESampler(seed=…)` of the Optuna at hand."""
    rate = {"optimizer.weights.learning_rate": {"loguniform": [0.001, 0.5]}}
    tpe = {"n_startup_trials": 2}
    sweep = make_sweep(searcher="tpe", trials=16, seed=3, parameters=rate, tpe=tpe)
    storage = Storage(tmp_path / sweep.name)
    Plan(storage, sweep, base_trials(sweep), State()).write()
    assert read_plan(storage).sweep == sweep
    text = storage.read(SWEEP) or ""
    lines = text.splitlines(keepends=True)
    start = next(i for i, line in enumerate(lines) if line.startswith("tpe:"))
    rest = next(i for i in range(start + 1, len(lines)) if not lines[i].startswith(" "))
    storage.write(SWEEP, "".join(lines[:start] + lines[rest:]))
    old = read_plan(storage).sweep
    assert old.tpe is None and old == sweep.model_copy(update={"tpe": None})
    study = optuna.create_study(direction="maximize")
    records = Records(Storage(tmp_path), "search")
    sampled = source(old, records)
    for number in range(16):
        job = sampled.next()
        assert job is not None
        study.sampler = optuna.samplers.TPESampler(seed=3 * 100_003 + number)
        trial = study.ask()
        expected = trial.suggest_float("rate", 0.001, 0.5, log=True)
        found = job.parameters["optimizer.weights.learning_rate"]
        assert found == expected
        records.start(job)
        value = 80 - 10 * abs(math.log10(found / 0.05))
        study.tell(trial, value)
        records.add(job.id, {"epoch": 4, "valid_accuracy": value, "genotype": "g"})
        sampled.tell(records.end(job.id))


def test_no_warning_of_optuna_reaches_the_user(
    make_sweep: MakeSweep, recwarn: pytest.WarningsRecorder
) -> None:
    sweep = make_sweep(searcher="tpe", **README)
    assert isinstance(make_sampler(sweep, 0), optuna.samplers.TPESampler)
    assert [str(warning.message) for warning in recwarn] == []
