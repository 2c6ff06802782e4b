"""The repeat phase as a race over seeds: from its keys to a killed driver."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from standin import TASKS, MakeSweep, StandIn, write_sweep
from test_kill import epochs_of, kill_when, records, start

from tune_nas.errors import ConfigError
from tune_nas.report import Report
from tune_nas.report.race import run_race
from tune_nas.sweep import RunOptions, SweepConfig, load_sweep, resume_sweep
from tune_nas.sweep.config import race_rule
from tune_nas.sweep.cost import Estimate
from tune_nas.sweep.phases import lacks_trials, phases_of, ranked, read_records, search_jobs
from tune_nas.sweep.resolve import base_trials, resolve_trials
from tune_nas.sweep.runs.plan import Plan, State
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.storage import Storage

RATE = "optimizer.weights.learning_rate"
PARAMETERS = {RATE: {"grid": [0.1, 0.2, 0.3]}}
RACE = {"best": 3, "seeds": 2, "max_seeds": 5}

# By learning rate: the values at the seeds 1, 2, …; 0.2 is dropped after 2 seeds, 0.3 after 4.
VALUES = {
    0.1: (90.0, 91.0, 92.0, 93.0, 94.0),
    0.2: (80.0, 80.9, 99.0, 99.0, 99.0),
    0.3: (91.0, 90.0, 60.0, 60.0, 99.0),
}
EXPECTED = [(rate, seed) for seed in (1, 2) for rate in VALUES] + [
    (rate, seed) for seed in (3, 4) for rate in (0.1, 0.3)
]

Value = Callable[[float, int], float | None]


def of_table(rate: float, seed: int) -> float:
    return VALUES[rate][seed - 1]


@pytest.fixture
def plan(make_sweep: MakeSweep, tmp_path: Path) -> Plan:
    """A sweep whose search phase has ended, with 0.1 the best and 0.3 the worst."""
    sweep = make_sweep(parameters=PARAMETERS, repeat=RACE, retrain=0)
    return searched(sweep, tmp_path / "runs")


def searched(sweep: SweepConfig, folder: Path) -> Plan:
    plan = Plan(Storage(folder), sweep, base_trials(sweep), State(kind="sweep"))
    plan.write()
    searches = Records(plan.storage, "search")
    sign = 1 if sweep.mode == "max" else -1
    for job in search_jobs(resolve_trials(sweep), plan.bases.folder):
        end(searches, job, sign * (95.0 - 10 * float(job.parameters[RATE])))
    return plan


def end(of_phase: Records, job: Any, value: float | None, error: str = "it broke") -> Any:
    of_phase.start(job)
    if value is None:
        record = of_phase.end(job.id, error="the trial failed")
        with of_phase.changing(job.id):
            record.explain(error)
        return record
    of_phase.add(job.id, {"epoch": 4, "valid_accuracy": value, "genotype": f"g {job.id}"})
    return of_phase.end(job.id)


def race(
    plan: Plan, value: Value = of_table, *, at_once: int = 1, most: int = 99
) -> list[tuple[float, int]]:
    """Run at most a number of repeats, several at a time; the last started ends first."""
    known = read_records(plan)
    phase = next(phase for phase in phases_of(plan) if phase.name == "repeat")
    source = phase.source(known)
    ran, live = [], []
    while source is not None:
        while len(live) < at_once and len(ran) < most and (job := source.next()) is not None:
            known["repeat"].start(job)
            live.append(job)
            ran.append((float(job.parameters[RATE]), job.seed))
        if not live or len(ran) == most:
            return ran  # those that run are interrupted
        job = live.pop()
        source.tell(end(known["repeat"], job, value(float(job.parameters[RATE]), job.seed)))
        assert len(known["repeat"]) <= source.total <= 15
    return ran


def trials(plan: Plan) -> list[tuple[str, float, int, float | None]]:
    repeats = read_records(plan)["repeat"]
    return [
        (r.job.id, float(r.job.parameters[RATE]), r.job.seed, r.value("valid_accuracy"))
        for r in repeats
    ]


def test_only_those_that_can_still_win_get_further_seeds(plan: Plan) -> None:
    assert race(plan) == EXPECTED
    assert [job_id for job_id, *_ in trials(plan)] == [f"repeat-{n:05d}" for n in range(10)]
    known = read_records(plan)
    assert not lacks_trials(plan, known)
    assert race(plan) == []
    # 0.1 has the best mean; 0.3, dropped after 4 seeds, is before 0.2, dropped after 2, although
    # its mean of 75.25 is lower.
    order = [group[0].job.parameters[RATE] for group in ranked(plan.sweep, known["repeat"])]
    assert order == [0.1, 0.3, 0.2]


@pytest.mark.parametrize("at_once", [2, 3, 16])
def test_the_order_in_which_trials_end_decides_nothing(plan: Plan, at_once: int) -> None:
    assert race(plan, at_once=at_once) == EXPECTED


@pytest.mark.parametrize(("killed_after", "at_once"), [(1, 1), (5, 2), (6, 1), (7, 2), (10, 2)])
def test_a_resumed_race_decides_what_it_would_have_decided(
    make_sweep: MakeSweep, tmp_path: Path, killed_after: int, at_once: int
) -> None:
    sweep = make_sweep(parameters=PARAMETERS, repeat=RACE, retrain=0)
    whole = searched(sweep, tmp_path / "whole")
    race(whole)
    killed = searched(sweep, tmp_path / "killed")
    race(killed, at_once=at_once, most=killed_after)
    race(killed, at_once=at_once)
    assert trials(killed) == trials(whole)


def test_the_smallest_metric_wins(make_sweep: MakeSweep, tmp_path: Path) -> None:
    sweep = make_sweep(parameters=PARAMETERS, repeat=RACE, retrain=0, mode="min")
    plan = searched(sweep, tmp_path / "runs")
    assert sorted(race(plan, lambda rate, seed: -of_table(rate, seed))) == sorted(EXPECTED)


def test_failed_and_diverged_repeats(plan: Plan) -> None:
    """0.2 diverges at its first seed; a seed of 0.3 fails, and the others decide."""
    values: dict[tuple[float, int], float | None] = {(0.2, 1): math.nan, (0.3, 2): None}
    ran = race(plan, lambda rate, seed: values.get((rate, seed), of_table(rate, seed)))
    # 0.3 has 91, –, 60, 60: ahead by 1, behind by 32 and 33 at the seeds 1, 3 and 4, so
    # t = −21.33 / (19.35 √(1/3 − 1/4)) = −3.82, and T₂ is 0.031.
    assert [seed for rate, seed in ran if rate == 0.2] == [1, 2]
    assert [seed for rate, seed in ran if rate == 0.3] == [1, 2, 3, 4]
    known = read_records(plan)["repeat"]
    with known.changing(next(r.job.id for r in known if r.status == "failed")) as record:
        record.reopen()
    assert race(plan) == [(0.3, 2)]  # which now is 90, and no new seed is due


def test_the_report_tells_the_race(plan: Plan) -> None:
    race(plan)
    results = [record.result() for phase in read_records(plan).values() for record in phase]
    sweep = plan.sweep
    report = Report(sweep.name, [RATE], results, sweep.metric, sweep.mode, race_rule(sweep))
    assert [row.values[RATE] for row in report.ranking()] == [0.1, 0.3, 0.2]
    assert [row.n for row in report.ranking()] == [4, 4, 2]
    line = (
        "race over seeds: 10 repeats instead of 15 (3 configurations × 5 seeds), 5 saved; dropped: "
        "w learning rate = 0.2 after 2 seeds, 10.05 behind; "
        "w learning rate = 0.3 after 4 seeds, 16.25 behind"
    )
    assert line in report.lines()
    assert report.sentence().startswith(
        "w learning rate = 0.1 best by supernet valid accuracy (91.50 ± 1.29 %, n = 4 repeats); "
        "the race over seeds was lost by w learning rate = 0.3 and w learning rate = 0.2; "
    )
    assert f"- {line}\n" in report.markdown()
    assert report.to_dict()["race"] == {
        "trials": 10,
        "most": 15,
        "rounds": 4,
        "over": True,
        "dropped": [
            {"values": {RATE: 0.2}, "seeds": 2, "behind": pytest.approx(10.05)}
            | {"probability": pytest.approx(1 / (math.pi * 259.5), rel=1e-3)},
            {"values": {RATE: 0.3}, "seeds": 4, "behind": pytest.approx(16.25)}
            | {"probability": pytest.approx(0.0152, abs=1e-4)},
        ],
    }


def test_the_cost_is_an_upper_bound(make_sweep: MakeSweep) -> None:
    sweep = make_sweep(parameters=PARAMETERS, repeat=RACE, retrain=0)
    assert sweep.repeat_seeds == [1, 2, 3, 4, 5]
    counts = {"searches": 18, "retrains": 0, "search_epochs": 72, "race": True, "minutes": 1.0}
    text = str(Estimate({**counts, "at_once": 2, "based_on": "3 steps"}))
    assert text.startswith("at most 18 searches and 0 retraining runs")


@pytest.mark.parametrize(
    ("repeat", "error"),
    [
        ({"best": 1, "max_seeds": 5}, "max_seeds needs configurations that race; set best to at"),
        ({"seeds": 3, "max_seeds": 3}, "repeat.max_seeds is 3, but must be more than the 3 seeds"),
        ({"best": 200, "seeds": 2, "max_seeds": 200}, "repeat.best times repeat.max_seeds"),
    ],
)
def test_keys_without_a_race(make_sweep: MakeSweep, repeat: dict[str, int], error: str) -> None:
    with pytest.raises(ConfigError, match=error) as raised:
        make_sweep(parameters=PARAMETERS, repeat=repeat)
    assert "\n" not in str(raised.value)


@pytest.mark.sweep
def test_a_driver_killed_between_rounds(tmp_path: Path, ray_session: None) -> None:
    """The trials are those of a race over the results of all seeds; the winner is retrained."""
    race_of_three = {"best": 3, "seeds": 2, "max_seeds": 6}
    file = write_sweep(tmp_path / "input", {"pause": 0.03}, repeat=race_of_three, retrain=1)
    sweep = load_sweep(file)
    results: dict[tuple[float, int], list[float]] = {}
    for record_seed in sweep.repeat_seeds:
        for value, _, trial in resolve_trials(sweep):
            alone = StandIn(trial.model_copy(update={"seed": record_seed}), None)
            accuracies = [alone.run_epoch()["valid_accuracy"] for _ in range(alone.epochs)]
            results[float(value["update.lambda"]), record_seed] = accuracies
    rule = race_rule(sweep)
    assert rule is not None
    outcomes = {
        (each,): {seed: of_epochs[-1] for (own, seed), of_epochs in results.items() if own == each}
        for each in (0.0, 1.0, math.inf)
    }
    expected = run_race(rule, outcomes)
    assert 6 < len(expected.trials) < 18

    process = start(tmp_path, "start", 2, file)
    kill_when(process, lambda: epochs_of(tmp_path, "repeat") >= 26, tmp_path / "driver.txt")
    options = RunOptions(storage=str(tmp_path / "runs"), concurrency=2, quiet=True)
    outcome = resume_sweep(None, options, tasks=TASKS)
    found = {}
    for record in records(tmp_path, "killed", "repeat"):
        key = (float(record.job.parameters["update.lambda"]), record.job.seed)
        found[key] = [epoch["valid_accuracy"] for epoch in record.history]
    assert found == {(each, seed): results[each, seed] for (each,), seed in expected.trials}
    assert outcome.report.race is not None and outcome.report.race.dropped == expected.dropped
    (retrained,) = records(tmp_path, "killed", "retrain")
    assert retrained.job.parameters == outcome.report.ranking()[0].values
