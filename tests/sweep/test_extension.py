"""Extending a sweep: it ends like one that had all seeds, values and trials from the start."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from standin import TASKS, MakeSweep, crash_after, write_sweep

from tune_nas.errors import ConfigError, StorageError
from tune_nas.report import TrialResult
from tune_nas.sweep import (
    Extension,
    RunOptions,
    SweepOutcome,
    extend_sweep,
    load_sweep,
    resume_sweep,
    run_sweep,
)
from tune_nas.sweep.extension import extended, write_extension
from tune_nas.sweep.runs.locking import locked
from tune_nas.sweep.runs.plan import Plan, read_plan
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.storage import Storage
from tune_nas.tracking import RunReader

pytestmark = pytest.mark.sweep

SAMPLED: dict[str, Any] = {
    "parameters": {
        "optimizer.weights.learning_rate": {"loguniform": [0.001, 0.5]},
        "update.lambda": {"choice": [0, 1, float("inf")]},
    },
    "searcher": "tpe",
    "tpe": {"n_startup_trials": 3},
    "scheduler": "asha",
    "asha": {"grace_period": 2, "reduction_factor": 2},
}


def options(folder: Path, **more: Any) -> RunOptions:
    return RunOptions(storage=str(folder / "runs"), quiet=True, **{"concurrency": 1, **more})


def by_values(results: list[TrialResult], phase: str = "search") -> dict[str, Any]:
    """What each trial came to, by its values and its seed; ids and orders may differ."""
    of_phase = [result for result in results if result.phase == phase]
    found = {
        repr((sorted(r.parameters.items()), r.seed)): (r.status, r.history, r.genotype)
        for r in of_phase
    }
    assert len(found) == len(of_phase)
    return found


def by_id(outcome: SweepOutcome) -> dict[str, Any]:
    return {r.trial_id: (r.parameters, r.seed, r.history) for r in outcome.results}


def rows(outcome: SweepOutcome) -> list[dict[str, Any]]:
    """The rows of the report, without the ids of their trials."""
    content: Any = outcome.report.to_dict()["rows"]
    return [{key: value for key, value in row.items() if key != "trials"} for row in content]


def test_a_grid_ends_like_the_larger_grid(
    make_sweep: MakeSweep, tmp_path: Path, ray_session: None
) -> None:
    before = run_sweep(make_sweep(seeds=2), options(tmp_path), "x", tasks=TASKS)
    more = Extension(seeds=3, values={"update.lambda": [0.5, 1]})
    after = extend_sweep("x", more, options(tmp_path), tasks=TASKS)
    larger = {"update.lambda": {"grid": [0, 1, float("inf"), 0.5]}}
    fresh = run_sweep(make_sweep(seeds=3, parameters=larger), options(tmp_path), "y", tasks=TASKS)
    assert len(after.results) == 12
    assert by_values(after.results) == by_values(fresh.results)
    own = by_id(after)
    assert {trial_id: own[trial_id] for trial_id in by_id(before)} == by_id(before)
    assert rows(after) == rows(fresh)
    # The runs of the first session are not repeated in MLflow, which shows the new extent.
    runs = RunReader(after.mlflow_uri).list_runs()
    of_x = [run for run in runs if run.sweep == "x" and run.phase == "search"]
    assert sorted(run.trial_id or "" for run in of_x) == sorted(own)
    (sweep_run,) = (run for run in runs if run.sweep == "x" and run.phase == "sweep")
    assert sweep_run.tags["tune_nas.extended"] == "seeds [0, 1, 2]; update.lambda [0, 1, inf, 0.5]"
    with pytest.raises(StorageError, match="has finished; there is nothing to resume"):
        resume_sweep("x", options(tmp_path), tasks=TASKS)
    with pytest.raises(ConfigError, match="'x' has all of this already; there is nothing to add"):
        extend_sweep("x", more, options(tmp_path), tasks=TASKS)


def test_sampled_trials_end_like_those_of_a_longer_sweep(
    make_sweep: MakeSweep, tmp_path: Path, ray_session: None
) -> None:
    """One at a time: the same samples, and the same decisions of ASHA and Optuna."""
    before = run_sweep(make_sweep(**SAMPLED, trials=5), options(tmp_path), "x", tasks=TASKS)
    after = extend_sweep("x", Extension(more_trials=4), options(tmp_path), tasks=TASKS)
    fresh = run_sweep(make_sweep(**SAMPLED, trials=9), options(tmp_path), "y", tasks=TASKS)
    assert len(before.results) == 5
    assert by_id(after) == by_id(fresh)
    assert by_values(after.results) == by_values(fresh.results)


def test_an_interrupted_extension_is_resumed(
    make_sweep: MakeSweep, tmp_path: Path, ray_session: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_sweep(make_sweep(), options(tmp_path), "x", tasks=TASKS)
    with crash_after(monkeypatch, 6):
        extend_sweep("x", Extension(seeds=[4, 0, 2]), options(tmp_path), tasks=TASKS)
    after = resume_sweep("x", options(tmp_path), tasks=TASKS)
    fresh = run_sweep(make_sweep(seeds=[4, 0, 2]), options(tmp_path), "y", tasks=TASKS)
    assert by_values(after.results) == by_values(fresh.results)


@pytest.fixture
def plan(make_sweep: MakeSweep, tmp_path: Path) -> Plan:
    """A grid "x" with records, without a driver."""
    return stored_plan(make_sweep(seeds=2), tmp_path)


def stored_plan(sweep: Any, tmp_path: Path) -> Plan:
    from tune_nas.sweep.phases import jobs_of, read_records
    from tune_nas.sweep.resolve import base_trials
    from tune_nas.sweep.runs.plan import State

    sweep = sweep.model_copy(update={"name": "x"})
    plan = Plan(Storage(tmp_path / "runs" / "x"), sweep, base_trials(sweep), State())
    plan.write()
    plan.write_state(status="finished")
    if sweep.searcher == "grid":
        known = read_records(plan)
        for job in jobs_of(plan, "search", known):
            known["search"].start(job)
    return read_plan(plan.storage)


@pytest.mark.parametrize("n_writes", range(4))
def test_a_kill_leaves_the_old_or_the_new_plan(
    plan: Plan, monkeypatch: pytest.MonkeyPatch, n_writes: int
) -> None:
    from tune_nas.sweep.phases import jobs_of, read_records

    before = {job.id: (job.parameters, job.seed) for job in jobs_of(plan, "search", {})}
    new = extended(plan, Extension(values={"update.lambda": [0.5]}))
    write, left = Storage.write, iter(range(n_writes))

    def write_or_die(self: Storage, name: str, content: str | bytes) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        write(self, name, content)

    with monkeypatch.context() as patch:
        patch.setattr(Storage, "write", write_or_die)
        if n_writes < 3:
            with pytest.raises(KeyboardInterrupt):
                write_extension(new)
        else:
            write_extension(new)
    there = read_plan(plan.storage)
    assert there.sweep == (new.sweep if n_writes == 3 else plan.sweep)
    after = {
        job.id: (job.parameters, job.seed) for job in jobs_of(there, "search", read_records(there))
    }
    assert {job_id: after[job_id] for job_id in before} == before
    assert len(after) == (8 if n_writes == 3 else 6)


def test_two_extensions_at_once(plan: Plan, tmp_path: Path) -> None:
    with locked(plan), pytest.raises(StorageError, match=r"^'x' is running, in process "):
        extend_sweep("x", Extension(seeds=3), options(tmp_path), tasks=TASKS)
    assert read_plan(plan.storage).sweep == plan.sweep


@pytest.mark.parametrize(
    ("extension", "message"),
    [
        (Extension(seeds=1), "lacks the seed 1 of 'x'; a sweep keeps its seeds: [0, 1]"),
        (Extension(seeds=[0, 2]), "lacks the seed 1"),
        (Extension(seeds=0), "must be a number of seeds, at least 1"),
        (Extension(values={"update.lamda": [3]}), "is not swept in 'x'; did you mean 'update.la"),
        (Extension(values={"update.lambda": [-1]}), "update.lambda"),
        (Extension(values={"update.lambda": [1]}), "'x' has all of this already"),
        (
            Extension(values={"update.lambda": ["0.0"]}),
            "one value: [0, 1, inf, '0.0']; give each value once",
        ),
        (Extension(trials=30), "'x' is a grid, which has no number of trials; add seeds or values"),
    ],
)
def test_what_does_not_fit_is_refused(plan: Plan, extension: Extension, message: str) -> None:
    files = {path: path.read_bytes() for path in Path(plan.storage.root).rglob("*.*")}
    with pytest.raises(ConfigError) as error:
        extended(plan, extension)
    assert message in str(error.value)
    assert files == {path: path.read_bytes() for path in Path(plan.storage.root).rglob("*.*")}


def test_ranges_and_fewer_trials_are_refused(make_sweep: MakeSweep, tmp_path: Path) -> None:
    plan = stored_plan(make_sweep(**SAMPLED, trials=5), tmp_path)
    key = "optimizer.weights.learning_rate"
    with pytest.raises(ConfigError, match=r"is a range \(loguniform\), to which no values are"):
        extended(plan, Extension(values={key: [0.1]}))
    with pytest.raises(ConfigError, match="trials is 4, but 'x' has 5 already"):
        extended(plan, Extension(trials=4))


@pytest.mark.parametrize("repeat", [{"seeds": 2}, {}])
def test_more_seeds_than_a_race_has_are_refused(
    make_sweep: MakeSweep, tmp_path: Path, repeat: dict[str, int]
) -> None:
    race = {"best": 2, "max_seeds": 3, **repeat}
    plan = stored_plan(make_sweep(**SAMPLED, trials=5, seeds=2, repeat=race), tmp_path)
    with pytest.raises(ConfigError, match=r"seeds is 3, but 'x' races over at most 3 seeds"):
        extended(plan, Extension(seeds=3))
    assert extended(plan, Extension(more_trials=1)).sweep.n_drawn == 6


def test_records_with_other_values_are_never_taken_by_number(plan: Plan) -> None:
    """Records of an earlier version may spell values differently: they must not be exchanged."""
    file = Path(plan.storage.root) / "search" / "records" / "search-00001.json"
    content = json.loads(file.read_text())
    content["job"]["parameters"] = {"update.lambda": "zero"}
    file.write_text(json.dumps(content))
    with pytest.raises(StorageError, match="has the trial search-00001, with values that its plan"):
        extended(plan, Extension(seeds=3))


def test_a_further_trial_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new trial is stored with the sweep; the file of the first may have changed meanwhile."""
    for name in ("a", "b"):
        write_sweep(tmp_path / name, epochs=3 if name == "a" else 4)
    file = tmp_path / "s.yaml"
    first = str(tmp_path / "a" / "trial.yaml")
    axis = {"trial": {"grid": [first]}}
    file.write_text(json.dumps({"parameters": axis, "retrain": 0}))
    plan = stored_plan(load_sweep(file), tmp_path)
    Path(first).unlink()
    second = str(tmp_path / "b" / "trial.yaml")
    write_extension(extended(plan, Extension(values={"trial": [second]})))
    there = read_plan(plan.storage)
    assert [trial.schedule.epochs for trial in there.bases.trials.values()] == [3, 4]
    assert [trial.schedule.epochs for _, _, trial in there.resolved.trials] == [3, 4]


def test_records_of_an_extended_sweep_keep_their_ids(plan: Plan) -> None:
    from tune_nas.sweep.phases import jobs_of, read_records

    write_extension(extended(plan, Extension(seeds=3)))
    there = read_plan(plan.storage)
    jobs = jobs_of(there, "search", read_records(there))
    records = Records(plan.storage, "search")
    ids = {job.id for job in jobs}
    assert len(ids) == 9 and {record.job.id for record in records} < ids
    for job in jobs:
        record = records.get(job.id)
        assert record is None or (record.job.parameters, record.job.seed) == (
            job.parameters,
            job.seed,
        )
