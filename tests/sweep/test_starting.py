"""Starting concurrently with other runs, and resuming in another folder. Ray is not started."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from standin import TASKS, MakeSweep, write_sweep

from tune_nas.cli.run_names import named
from tune_nas.config import TrialConfig
from tune_nas.errors import ConfigError, NameTakenError, StorageError
from tune_nas.library import load_trial, with_overrides
from tune_nas.spaces import load_space
from tune_nas.sweep import RunOptions, resume_sweep, run_sweep
from tune_nas.sweep.phases import search_jobs
from tune_nas.sweep.resolution import BaseTrials
from tune_nas.sweep.resolve import load_sweep, resolve_trials
from tune_nas.sweep.runs.locking import locked
from tune_nas.sweep.runs.plan import Plan, State, read_plan
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.storage import Storage
from tune_nas.sweep.sources import ListSource


def options(folder: Path) -> RunOptions:
    return RunOptions(storage=str(folder / "runs"), quiet=True)


def plan_of(sweep: Any, storage: Storage) -> Plan:
    named = sweep.model_copy(update={"name": Path(storage.root).name})
    return Plan(storage, named, BaseTrials({"trial": TrialConfig()}), State())


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_second_driver_leaves_what_the_first_has_written(
    make_sweep: MakeSweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the first has any trial, and though the name was free when the second looked."""
    first = plan_of(make_sweep(), Storage(tmp_path / "runs" / "x"))

    def meanwhile(*_: Any, **__: Any) -> None:
        first.write()

    monkeypatch.setattr("tune_nas.sweep.preflight.preflight", meanwhile)
    with pytest.raises(NameTakenError, match=r"'x' exists in .*resume it: tune-nas resume x"):
        run_sweep(make_sweep(), options(tmp_path), "x", tasks=TASKS)
    assert read_plan(first.storage) == first

    with locked(first):
        before = contents(tmp_path / "runs" / "x")
        monkeypatch.setattr("tune_nas.sweep.runner.check_free", lambda *_: None)
        for start in (
            lambda: run_sweep(make_sweep(), options(tmp_path), "x", tasks=TASKS),
            lambda: resume_sweep("x", options(tmp_path), tasks=TASKS),
        ):
            with pytest.raises(NameTakenError, match=r"^'x' is running, in process \d+$"):
                start()
        assert contents(tmp_path / "runs" / "x") == before


def test_a_name_that_another_has_taken_meanwhile_is_left_to_it(tmp_path: Path) -> None:
    asked: list[str] = []

    def run(name: str) -> Any:
        asked.append(name)
        if len(asked) == 1:
            (tmp_path / name).mkdir()
            raise NameTakenError("taken")
        return "outcome"

    assert named(None, "usual", str(tmp_path), run) == "outcome"
    assert asked == ["usual", "usual-2"]
    asked.clear()
    with pytest.raises(NameTakenError):
        named("mine", "usual", str(tmp_path), run)
    assert asked == ["mine"]


def test_paths_are_those_of_the_folder_that_it_was_started_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    monkeypatch.chdir(here)
    space = load_space("darts").to_dict()
    for name in ("one", "two"):
        Path(f"{name}.yaml").write_text(yaml.safe_dump({**space, "name": name}))
    Path("far.yaml").write_text(
        yaml.safe_dump(
            {
                "trial": "milenas",
                "set": {"data.dir": "images", "schedule.epochs": 6},
                "parameters": {"space.name": {"grid": ["one.yaml", "two.yaml", "s1"]}},
                "scheduler": "asha",
                "asha": {"grace_period": 2},
            }
        )
    )
    sweep = load_sweep("far.yaml")
    bases = BaseTrials({"milenas": load_trial("milenas", {"data.dir": "images"})})
    Plan(Storage(tmp_path / "x"), sweep, bases, State()).write()
    expected = search_jobs(resolve_trials(sweep, bases), bases.folder)

    monkeypatch.chdir(there)
    plan = read_plan(Storage(tmp_path / "x"))
    jobs = search_jobs(plan.resolved.trials, plan.bases.folder)
    assert jobs == expected
    assert [job.trial.space.name for job in jobs] == [
        str(here / "one.yaml"),
        str(here / "two.yaml"),
        "s1",
    ]
    assert {job.trial.data.dir for job in jobs} == {str(here / "images")}
    assert [job.parameters["space.name"] for job in jobs] == ["one.yaml", "two.yaml", "s1"]
    assert jobs[0].epochs == 50


def test_a_home_folder_is_meant_by_a_tilde(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(load_trial("darts-1st").to_dict()))
    assert load_trial("~/mine.yaml") == load_trial("darts-1st")


def test_a_job_that_was_begun_is_the_one_that_goes_on(
    make_sweep: MakeSweep, tmp_path: Path
) -> None:
    sweep = make_sweep()
    jobs = search_jobs(resolve_trials(sweep), "")
    records = Records(Storage(tmp_path), "search")
    begun = records.start(jobs[0]).job
    again = [
        replace(job, trial=with_overrides(job.trial, {"seed": job.seed + 100})) for job in jobs
    ]
    source = ListSource(again, records)
    assert source.next() == begun
    assert source.next() == again[1]


def test_a_damaged_state_is_one_line(make_sweep: MakeSweep, tmp_path: Path) -> None:
    plan = plan_of(make_sweep(), Storage(tmp_path / "runs" / "x"))
    plan.write()
    plan.storage.write("state.json", '{"kind": "ret')
    with pytest.raises(StorageError, match=r"state.json is missing or damaged"):
        resume_sweep("x", options(tmp_path), tasks=TASKS)


@pytest.mark.parametrize("name", ["a/b", "..", 'a"b', "a\nb"])
def test_a_name_that_is_none_for_a_folder(make_sweep: MakeSweep, tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="must be fit for a folder") as error:
        run_sweep(make_sweep(), options(tmp_path), name, tasks=TASKS)
    assert "\n" not in str(error.value)


def test_trials_of_other_lengths_are_found_among_many_values(tmp_path: Path) -> None:
    ranges = {
        key: {"uniform": [0.0, 0.5]}
        for key in (
            *("relaxation.init_std", "relaxation.smoothing.start", "relaxation.smoothing.end"),
            *("relaxation.penalty.weight", "optimizer.weights.weight_decay", "update.lambda"),
            *("optimizer.alphas.weight_decay", "retrain.drop_path", "retrain.auxiliary_weight"),
            "optimizer.weights.clip",
        )
    }
    last = {"selection.kind": {"choice": ["magnitude", "perturbation"]}}
    path = write_sweep(
        tmp_path,
        searcher="random",
        scheduler="asha",
        asha={"grace_period": 1},
        parameters={**last, **ranges},
    )
    with pytest.raises(ConfigError, match="asha' compares trials of one length"):
        load_sweep(path)


def test_nothing_of_a_sweep_is_lost_on_the_way_to_its_file(
    make_sweep: MakeSweep, tmp_path: Path
) -> None:
    sweep = make_sweep(parameters={"update.lambda": {"grid": [0, 1, math.inf]}})
    plan = plan_of(sweep, Storage(tmp_path / "x"))
    plan.write()
    assert json.loads((tmp_path / "x" / "state.json").read_text()) == asdict(plan.state)
    assert read_plan(plan.storage).sweep == plan.sweep
