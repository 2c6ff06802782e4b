"""Optuna and ASHA without Ray: samples, told results, and the state after a resume."""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import optuna
import pytest
from standin import MakeSweep

from tune_nas.errors import ConfigError
from tune_nas.library import load_trial
from tune_nas.report import Report
from tune_nas.sweep.config import SweepConfig
from tune_nas.sweep.define_by_run import DefineByRun
from tune_nas.sweep.optuna_source import OptunaSource
from tune_nas.sweep.phases import ranked, repeat_jobs, retrain_jobs, search_jobs
from tune_nas.sweep.ray.scheduler import Asha
from tune_nas.sweep.resolve import base_trials, resolve_trials
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.storage import Storage

PARAMETERS: dict[str, Any] = {
    "optimizer.weights.learning_rate": {"loguniform": ["1e-3", 0.5]},
    "schedule.batch_size": {"int": [16, 64]},
    "update.level": {"choice": ["mixed", "bilevel"]},
    "update.lambda": {"choice": [0, 1, math.inf], "when": {"update.level": "mixed"}},
}


@pytest.fixture
def sweep(make_sweep: MakeSweep) -> SweepConfig:
    return make_sweep(searcher="tpe", trials=16, parameters=PARAMETERS)


def source(sweep: SweepConfig, records: Records, url: str | None = None) -> OptunaSource:
    return OptunaSource(sweep, base_trials(sweep), records, url)


def play(drawn: OptunaSource, records: Records, count: int) -> None:
    """Run trials, each third one stopped at epoch 2, each seventh one failing."""
    for _ in range(count):
        job = drawn.next()
        assert job is not None
        number = int(job.id[-5:])
        records.start(job)
        rate = job.parameters["optimizer.weights.learning_rate"]
        for epoch in range(1, 5):
            value = 80 - 10 * abs(math.log10(rate / 0.05)) + epoch
            stopped = "too low" if number % 3 == 2 and epoch == 2 else ""
            result = {"epoch": epoch, "valid_accuracy": value, "genotype": f"g{number}"}
            records.add(job.id, result, stopped=stopped)
        error = "it failed" if number % 7 == 6 else None
        drawn.tell(records.end(job.id, error=error))


def trials(drawn: OptunaSource) -> list[Any]:
    return [(t.number, t.params, t.state, t.value) for t in drawn.study.trials]


def test_a_resumed_study_draws_what_it_would_have_drawn(sweep: SweepConfig, tmp_path: Path) -> None:
    whole = Records(Storage(tmp_path / "a"), "search")
    through = source(sweep, whole)
    play(through, whole, 16)
    cut = Records(Storage(tmp_path / "b"), "search")
    first = source(sweep, cut)
    play(first, cut, 12)
    interrupted = first.next()
    assert interrupted is not None
    cut.start(interrupted)
    again = Records(Storage(tmp_path / "b"), "search")
    second = source(sweep, again, f"sqlite:///{tmp_path / 'b' / 'optuna.db'}")
    play(second, again, 4)
    assert second.next() is None
    assert [r.job for r in again] == [r.job for r in whole]
    assert trials(second) == trials(through)


def test_a_stopped_trial_is_told_as_pruned_with_its_last_value(
    sweep: SweepConfig, tmp_path: Path
) -> None:
    records = Records(Storage(tmp_path), "search")
    drawn = source(sweep, records)
    play(drawn, records, 7)
    told = drawn.study.trials
    states = [trial.state.name for trial in told]
    assert states == ["COMPLETE"] * 2 + ["PRUNED"] + ["COMPLETE"] * 2 + ["PRUNED"] * 2
    failed = [trial.user_attrs.get("failed", False) for trial in told]
    assert failed == [False] * 6 + [True] and told[6].value is None
    last = records["search-00002"].history[-1]
    assert last["epoch"] == 2
    assert told[2].intermediate_values == {2: last["valid_accuracy"]}
    assert told[2].value == last["valid_accuracy"]
    assert drawn.study.best_trial.state.name == "COMPLETE"


def test_conditions_hold_in_what_is_drawn(sweep: SweepConfig, tmp_path: Path) -> None:
    records = Records(Storage(tmp_path), "search")
    drawn = source(sweep, records)
    play(drawn, records, 16)
    levels = {record.job.parameters["update.level"] for record in records}
    assert levels == {"mixed", "bilevel"}
    for record in records:
        mixed = record.job.parameters["update.level"] == "mixed"
        assert ("update.lambda" in record.job.parameters) == mixed
        assert 0.001 <= record.job.parameters["optimizer.weights.learning_rate"] <= 0.5


def test_random_and_seeds_decide_what_is_drawn(make_sweep: MakeSweep, tmp_path: Path) -> None:
    drawn = {}
    for searcher, seed in (("random", 0), ("random", 1), ("tpe", 0)):
        sweep = make_sweep(searcher=searcher, seed=seed, trials=3, parameters=PARAMETERS)
        job = source(sweep, Records(Storage(tmp_path / f"{searcher}{seed}"), "search")).next()
        assert job is not None
        drawn[searcher, seed] = job.parameters["optimizer.weights.learning_rate"]
    assert drawn["random", 0] != drawn["random", 1]


def test_values_that_do_not_go_together_are_drawn_again(
    make_sweep: MakeSweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both ends of the range divide by 4; most values between them do not."""
    sweep = make_sweep(
        searcher="random",
        trials=6,
        set={"relaxation.partial_channels": 4},
        parameters={"space.init_channels": {"int": [8, 32]}},
    )
    records = Records(Storage(tmp_path), "search")
    drawn = source(sweep, records)
    jobs = [drawn.next() for _ in range(6)]
    channels = [job.parameters["space.init_channels"] for job in jobs if job is not None]
    assert len(channels) == 6 and all(count % 4 == 0 for count in channels)
    assert drawn.next() is None
    states = [trial.state.name for trial in drawn.study.trials]
    assert states.count("RUNNING") == 6 and states.count("FAIL") == len(states) - 6 > 0

    def refuse(*_: Any) -> None:
        raise ConfigError("they do not go together")

    monkeypatch.setattr("tune_nas.sweep.optuna_source.resolve_sample", refuse)
    with pytest.raises(ConfigError, match="not go together; so it is with each of 100 samples"):
        source(sweep, Records(Storage(tmp_path / "none"), "search")).next()


def test_a_list_of_a_choice_is_known_again(make_sweep: MakeSweep, tmp_path: Path) -> None:
    betas = {"choice": [[0.5, "999e-3"], [0.9, "1e-1"]]}
    sweep = make_sweep(searcher="random", trials=3, parameters={"optimizer.alphas.betas": betas})
    records = Records(Storage(tmp_path), "search")
    first = source(sweep, records).next()
    assert first is not None
    records.start(first)
    again = Records(Storage(tmp_path), "search")
    assert source(sweep, again).next() == again[first.id].job


def test_a_trial_that_has_diverged_is_no_winner(make_sweep: MakeSweep, tmp_path: Path) -> None:
    sweep = make_sweep(retrain=2)
    records = Records(Storage(tmp_path), "search")
    accuracies = [math.nan, 50.0, math.inf]
    for job, accuracy in zip(search_jobs(resolve_trials(sweep), ""), accuracies, strict=True):
        records.start(job)
        records.add(job.id, {"epoch": 4, "valid_accuracy": accuracy, "genotype": "g"})
        records.end(job.id)
    (only,) = retrain_jobs(sweep, records, Records(Storage(tmp_path), "repeat"))
    assert only.inputs.parent == "search-00001"


def test_a_configuration_with_a_diverged_seed_is_picked_last(
    make_sweep: MakeSweep, tmp_path: Path
) -> None:
    key = "optimizer.weights.learning_rate"
    parameters = {key: {"grid": [0.1, 0.2, 0.3]}}
    sweep = make_sweep(parameters=parameters, seeds=3, retrain=2)
    records = Records(Storage(tmp_path), "search")
    values = {0.1: (99, math.nan, 98), 0.2: (80, 81, 82), 0.3: (90, 91, 92)}
    for rate, of_rate in values.items():
        for seed, value in enumerate(of_rate):
            finished(records, f"search-{rate}-{seed}", value, seed=seed, rate=rate)
    found = [(group[0].job.parameters[key], len(group)) for group in ranked(sweep, records)]
    assert found == [(0.3, 3), (0.2, 3), (0.1, 2)]
    # A search that raised because its loss was NaN counts as diverged too; another failure not.
    error = "DivergedError: the train loss is nan in epoch 8"
    for seed, why in ((3, error), (4, "ValueError: no")):
        rate = {3: 0.3, 4: 0.2}[seed]
        records._records[f"x{seed}"] = make_record(f"x{seed}", seed, **{key: rate})
        records.end(f"x{seed}", error=why)
    found = [(group[0].job.parameters[key], len(group)) for group in ranked(sweep, records)]
    assert found == [(0.2, 3), (0.1, 2), (0.3, 3)]
    jobs = retrain_jobs(sweep, records, Records(Storage(tmp_path), "repeat"))
    assert [job.inputs.parent for job in jobs] == ["search-0.2-2", "search-0.1-0"]


@pytest.mark.parametrize(
    ("mode", "expected"), [("max", [0.2, 0.3, 0.4, 0.1]), ("min", [0.1, 0.3, 0.4, 0.2])]
)
def test_equal_means_are_in_the_order_of_the_report(
    make_sweep: MakeSweep, tmp_path: Path, mode: str, expected: list[float]
) -> None:
    """In the order of the values, whatever the order in which they are listed and end."""
    key = "optimizer.weights.learning_rate"
    sweep = make_sweep(parameters={key: {"grid": [0.4, 0.1, 0.3, 0.2]}}, mode=mode)
    records = Records(Storage(tmp_path), "search")
    for rate, value in ((0.3, 80), (0.2, 90), (0.4, 80), (0.1, 70)):
        finished(records, f"search-{rate}", value, seed=0, rate=rate)
    report = Report(
        "x", [key], [record.result() for record in records], sweep.search_metric, sweep.mode
    )
    best_first = [group[0].job.parameters[key] for group in ranked(sweep, records)]
    assert best_first == [row.values[key] for row in report.ranking()]
    assert best_first == expected


def test_the_define_by_run_space_can_be_pickled(sweep: SweepConfig) -> None:
    space = pickle.loads(pickle.dumps(DefineByRun(sweep.parameters, base_trials(sweep).values)))
    fixed = optuna.trial.FixedTrial(
        {
            "optimizer.weights.learning_rate": 0.01,
            "schedule.batch_size": 16,
            "update.level": "mixed",
            "update.lambda": "inf",
        }
    )
    assert space(fixed)["update.lambda"] == math.inf


def test_ashas_rungs_follow_from_the_records(tmp_path: Path) -> None:
    """Live decisions, and the rungs of a scheduler that was shown the records: the same."""
    rows = [(70, 72, 74, 76), (60, 61, 62, 63), (80, 81, 82, 83), (65, 73, 73.5, 77)]
    records = Records(Storage(tmp_path), "search")
    live = asha()
    for number, values in enumerate(rows):
        trial = Trial(f"search-{number:05d}")
        live.on_trial_add(None, trial)
        records._records[trial.trial_id] = make_record(trial.trial_id)
        for epoch, value in enumerate(values, start=1):
            result = {"epoch": epoch, "valid_accuracy": float(value)}
            decision = live.on_trial_result(None, trial, result)
            stopped = "low" if decision == "STOP" and epoch < 8 else ""
            records.add(trial.trial_id, result, stopped=stopped)
            if decision == "STOP":
                break
    again = asha()
    again.replay(Records(Storage(tmp_path), "search"))
    assert again.rungs() == live.rungs()
    assert records["search-00001"].status == "stopping"
    assert again.rungs()[2.0] == {f"search-{n:05d}": float(rows[n][1]) for n in range(4)}
    assert again.rungs()[4.0] == {f"search-{n:05d}": float(rows[n][3]) for n in (0, 2, 3)}


def asha() -> Asha:
    return Asha(metric="valid_accuracy", mode="max", epochs=8, grace_period=2, reduction_factor=2)


class Trial:
    def __init__(self, trial_id: str) -> None:
        self.trial_id = trial_id


def make_record(job_id: str, seed: int = 0, **parameters: Any) -> Any:
    from tune_nas.sweep.jobs import Job
    from tune_nas.sweep.runs.record import Record

    trial = load_trial("milenas", {"schedule.epochs": 8, "retrain.epochs": 2, "seed": seed})
    return Record(Job(job_id, "search", "search", trial, parameters))


def finished(records: Records, job_id: str, value: float, *, seed: int, rate: float) -> None:
    key = "optimizer.weights.learning_rate"
    records._records[job_id] = make_record(job_id, seed, **{key: rate})
    genotype = f"genotype of {job_id}"
    records.add(job_id, {"epoch": 8, "valid_accuracy": value, "genotype": genotype})
    records.end(job_id)


def test_the_best_by_mean_are_repeated_and_retrained(make_sweep: MakeSweep, tmp_path: Path) -> None:
    key = "optimizer.weights.learning_rate"
    parameters = {key: {"grid": [0.1, 0.2, 0.3]}}
    sweep = make_sweep(parameters=parameters, seeds=2, repeat={"best": 1, "seeds": 2}, retrain=2)
    records = Records(Storage(tmp_path), "search")
    values = [(0.1, 90, 50), (0.2, 80, 84), (0.3, 70, 72)]
    for number, (rate, one, two) in enumerate(values):
        finished(records, f"search-{number}a", one, seed=0, rate=rate)
        finished(records, f"search-{number}b", two, seed=1, rate=rate)
    assert [group[0].job.parameters[key] for group in ranked(sweep, records)] == [0.2, 0.3, 0.1]
    repeats = repeat_jobs(sweep, base_trials(sweep), records)
    assert [(job.parameters[key], job.seed) for job in repeats] == [(0.2, 2), (0.2, 3)]
    retrains = retrain_jobs(sweep, records, Records(Storage(tmp_path), "repeat"))
    assert [(job.inputs.parent, job.inputs.genotype) for job in retrains] == [
        ("search-1b", "genotype of search-1b"),
        ("search-2b", "genotype of search-2b"),
    ]
