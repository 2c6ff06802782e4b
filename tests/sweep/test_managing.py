"""Listing, renaming and removing stored runs: what their files say, kills, MLflow, odd names."""

from __future__ import annotations

import itertools
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from stored_runs import store_run, track

from tune_nas.errors import ConfigError, NameTakenError, StorageError
from tune_nas.sweep.manage import renaming
from tune_nas.sweep.manage.checkups import Surroundings, check_up
from tune_nas.sweep.manage.removal import remove_run
from tune_nas.sweep.manage.renaming import finish_renaming, rename_run
from tune_nas.sweep.manage.run_progress import run_progress, time_left
from tune_nas.sweep.manage.run_summaries import RunSummary, run_summaries
from tune_nas.sweep.manage.trial_states import TrialState, read_trial_states
from tune_nas.sweep.runs.locking import locked
from tune_nas.sweep.runs.lookup import existing_run
from tune_nas.sweep.runs.plan import read_plan
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.storage import Storage
from tune_nas.tracking import RunReader

HOSTILE = ["-x", "a b", "λ=∞", "it's", "--help", "%20", "x.yaml", "a;rm", "ca\u0301", "runs"]
GOOD = {"valid_accuracy": 80.25}


def summary(root: Path, name: str) -> RunSummary:
    (found,) = run_summaries(str(root), [name])
    return found


def uri(root: Path) -> str:
    return f"sqlite:///{root / 'mlflow.db'}"


def test_a_finished_race_has_the_trials_that_it_took(tmp_path: Path) -> None:
    """Its plan has more: nothing is dropped in it."""
    trials = [(f"search-0000{n}", "finished", {"valid_accuracy": 80.0}) for n in range(4)]
    ended = {"status": "finished", "phase": "search", "totals": {"search": 6}}
    store_run(tmp_path, "x", trials, **ended)
    found = summary(tmp_path, "x")
    assert (found.status, found.done, found.total) == ("finished", 4, 4)
    assert run_progress(str(tmp_path), "x").total == 4


def test_a_search_that_violates_a_constraint_is_not_the_best(tmp_path: Path) -> None:
    values = [(90.0, 9e6), (80.0, 3e6), (70.0, 1e6)]
    trials = [
        (f"search-0000{n}", "finished", {"valid_accuracy": a, "genotype/parameters": size})
        for n, (a, size) in enumerate(values)
    ]
    plan = store_run(tmp_path, "x", trials)

    def best_under(*constraints: str) -> str | None:
        content = {**plan.sweep.to_dict(), "constraints": list(constraints)}
        plan.storage.write("sweep.yaml", json.dumps(content))
        best = summary(tmp_path, "x").best
        return None if best is None else best.trial_id

    assert best_under() == "search-00000"
    assert best_under("parameters <= 3e6") == "search-00001"
    assert best_under("parameters <= 2e6") == "search-00002"
    assert best_under("parameters <= 1e5") is None
    assert best_under("multiply_adds <= 1e5") is None  # not reported

    goals = [{"name": "genotype/parameters", "mode": "min"}, {"name": "gap", "mode": "min"}]
    recorded = {key: v for key, v in plan.sweep.to_dict().items() if key not in ("metric", "mode")}
    plan.storage.write("sweep.yaml", json.dumps({**recorded, "metrics": goals}))
    best = summary(tmp_path, "x").best
    assert best is not None and (best.value, best.trial_id) == (1e6, "search-00002")


def test_a_summary_counts_what_the_records_say(tmp_path: Path) -> None:
    trials = [
        ("search-00000", "finished", {"valid_accuracy": 80.25}),
        ("search-00001", "finished", {"valid_accuracy": float("nan")}),
        ("search-00002", "running", {"valid_accuracy": 91.0}),
        ("search-00003", "failed", {"valid_accuracy": 95.0}),
        ("retrain-00000", "running", {}),
    ]
    plan = store_run(tmp_path, "x", trials, totals={"search": 6}, started=time.time() - 100)
    found = summary(tmp_path, "x")
    assert (found.status, found.done, found.total, found.failed) == ("lost", 2, 6, 1)
    assert (found.running, found.lost) == (0, 2)
    assert found.best is not None
    # The failed trial and the running one have a larger value, but have not run to their end.
    assert (found.best.value, found.best.trial_id, found.best.is_final) == (
        80.25,
        "search-00000",
        True,
    )
    assert found.size == sum(p.stat().st_size for p in (tmp_path / "x").rglob("*") if p.is_file())
    with locked(plan):
        found = summary(tmp_path, "x")
        assert (found.status, found.running, found.lost) == ("running", 2, 0)
    plan.write_state(status="finished")
    assert summary(tmp_path, "x").status == "finished"
    plan.write_state(status="running", interrupted="Ctrl-C")
    assert summary(tmp_path, "x").status == "interrupted"
    (tmp_path / "x" / "state.json").write_text("{}}")
    assert summary(tmp_path, "x").status == "damaged"
    (tmp_path / "x" / "state.json").write_bytes(b"\xff\xfe{}")
    (tmp_path / "y" / "state.json").mkdir(parents=True)
    runs = [(run.name, run.status) for run in run_summaries(str(tmp_path))]
    assert runs == [("x", "damaged"), ("y", "damaged")]
    checkups = check_up(Surroundings(str(tmp_path), quick=True))
    checkup = next(checkup for checkup in checkups if checkup.subject == "runs")
    assert checkup.found == "2, of which 2 damaged"
    assert checkup.remedy == f"tune-nas rm x --storage {tmp_path}"


def test_a_state_agrees_with_the_record(tmp_path: Path) -> None:
    """What is read without validation is what the record has; damage is said."""
    plan = store_run(tmp_path, "x", [("search-00000", "running", {"valid_accuracy": 1.5})])
    records = Records(plan.storage, "search")
    for epoch in (2, 3, 4):
        content = {"epoch": epoch, "valid_accuracy": epoch / 4, '"orders": [': 1.0}
        records.add("search-00000", content)
    record = records["search-00000"]
    record.genotype = '"history": [{"epoch": 9}], "orders": ['
    records.save(record)
    (state,) = read_trial_states(plan.storage)
    assert (state.epoch, state.metrics, list(state.times)) == (
        4,
        record.history[-1],
        record.times,
    )
    assert (state.epochs, state.seed, state.status) == (record.job.epochs, 0, "running")
    assert state.parameters == record.job.parameters
    for text in ("", "{", "[]", '{"job": 3}', "[" * 100_000, '{"history": [{"a": 1}, {'):
        (tmp_path / "x" / "search" / "records" / "search-00000.json").write_text(text)
        (state,) = read_trial_states(plan.storage)
        assert (state.status, state.failed) == ("damaged", True)


def test_a_thousand_trials_are_read_within_a_second(tmp_path: Path) -> None:
    """50 epochs of 40 metrics each; only CPU time counts, as others may use this machine."""
    plan = store_run(tmp_path, "x", [("search-00000", "finished", GOOD)])
    folder = tmp_path / "x" / "search" / "records"
    record = json.loads((folder / "search-00000.json").read_text())
    metrics = {f"metric/{number}": number / 7 for number in range(40)}
    record["history"] = [{"epoch": epoch, **metrics} for epoch in range(1, 51)]
    record["orders"] = record["times"] = list(range(50))
    for number in range(1000):
        record["job"]["id"] = f"search-{number:05d}"
        (folder / f"search-{number:05d}.json").write_text(json.dumps(record))
    began = time.process_time()
    states = read_trial_states(plan.storage)
    assert time.process_time() - began < 1
    assert len(states) == 1000 and {state.epoch for state in states} == {50}


def test_the_time_left_is_that_of_the_epochs_left() -> None:
    def trial(status: str, epoch: int, *times: float) -> TrialState:
        return TrialState("t", "search", status, epoch=epoch, epochs=10, times=times)

    trials = [
        trial("finished", 10, 1, 2),  # before this session
        trial("running", 4, 100, 110, 120, 130),
        trial("stopped early", 3, 105),
    ]
    # 5 epochs in 50 s; 6 + 2 * 10 are left.
    assert time_left(trials, 5, since=90, now=140) == 260
    assert time_left(trials, None, since=90, now=140) is None
    assert time_left(trials, 5, since=135, now=140) is None
    assert time_left([*trials, TrialState("t", "search", "running")], 5, 90, 140) is None


def test_phases_are_counted(tmp_path: Path) -> None:
    store_run(tmp_path, "x", phase="retrain")
    progress = run_progress(str(tmp_path), "x")
    assert (progress.phase, progress.number, progress.phases) == ("retrain", 2, 2)


def test_a_removed_run_is_gone_with_its_runs_in_mlflow(tmp_path: Path) -> None:
    for name in ("x", "y"):
        plan = store_run(tmp_path, name, [("search-00000", "finished", GOOD)], status="finished")
        track(plan, uri(tmp_path))
    size = summary(tmp_path, "x").size
    removed = remove_run(str(tmp_path), "x")
    assert (removed.size, removed.tracked) == (size, 2)
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_dir()) == ["mlartifacts", "y"]
    assert {run.sweep for run in RunReader(uri(tmp_path)).list_runs()} == {"y"}
    kept = remove_run(str(tmp_path), "y", mlflow_runs=False)
    assert kept.tracked == 0
    assert {run.sweep for run in RunReader(uri(tmp_path)).list_runs()} == {"y"}


def test_a_running_run_is_neither_removed_nor_renamed(tmp_path: Path) -> None:
    plan = store_run(tmp_path, "x")
    with locked(plan):
        for force in (False, True):
            with pytest.raises(StorageError, match="'x' is running"):
                remove_run(str(tmp_path), "x", force=force)
        with pytest.raises(StorageError, match="'x' is running; stop it: tune-nas stop x --sto"):
            rename_run(str(tmp_path), "x", "y")
    assert [run.name for run in run_summaries(str(tmp_path))] == ["x"]


def test_a_run_of_another_machine_is_removed_only_if_that_is_meant(tmp_path: Path) -> None:
    store_run(tmp_path, "x")
    (tmp_path / "x" / ".lock").write_text("123 far another")
    with pytest.raises(StorageError, match="'x' may be running: no result yet; if its driver is"):
        remove_run(str(tmp_path), "x")
    remove_run(str(tmp_path), "x", force=True)
    assert list(run_summaries(str(tmp_path))) == []


def test_a_run_that_another_continues_from_is_kept(tmp_path: Path) -> None:
    store_run(tmp_path, "x", status="finished")
    user = store_run(tmp_path, "analysis-x", kind="analysis")
    file = tmp_path / "analysis-x" / "trials.yaml"
    start = f"start_from: {tmp_path}/x/search/search-00000/checkpoint_000003"
    file.write_text(file.read_text().replace("start_from: null", start))
    for change in (
        lambda: remove_run(str(tmp_path), "x"),
        lambda: rename_run(str(tmp_path), "x", "y"),
    ):
        with pytest.raises(StorageError, match="'x' is used by 'analysis-x', which has not fin"):
            change()
    user.write_state(status="finished")
    remove_run(str(tmp_path), "x")


def test_a_link_is_removed_and_not_the_files_behind_it(tmp_path: Path) -> None:
    store_run(tmp_path / "elsewhere", "x", status="finished")
    root = tmp_path / "runs"
    root.mkdir()
    (root / "x").symlink_to(tmp_path / "elsewhere" / "x")
    remove_run(str(root), "x")
    assert list(root.iterdir()) == []
    assert summary(tmp_path / "elsewhere", "x").status == "finished"


def test_odd_names(tmp_path: Path) -> None:
    plan = store_run(tmp_path, "x", [("search-00000", "finished", GOOD)], status="finished")
    track(plan, uri(tmp_path))
    for old, name in itertools.pairwise(["x", *HOSTILE]):
        assert rename_run(str(tmp_path), old, name).tracked == 2
        assert summary(tmp_path, name).done == 1
        assert existing_run(name, str(tmp_path)).name == name
    assert {run.sweep for run in RunReader(uri(tmp_path)).list_runs()} == {HOSTILE[-1]}
    assert remove_run(str(tmp_path), HOSTILE[-1]).tracked == 2
    assert list(run_summaries(str(tmp_path))) == []
    assert RunReader(uri(tmp_path)).list_runs() == []


@pytest.mark.parametrize("name", ["..", ".", "", "../x", "x/../..", ".removed-1", "mlflow.db", "/"])
def test_what_is_no_run_is_not_removed(tmp_path: Path, name: str) -> None:
    root = tmp_path / "runs"
    store_run(root, "x", status="finished")
    shutil.copytree(root / "x", tmp_path / "x")  # beside the storage
    shutil.copytree(root / "x", root / ".removed-1")
    for file in ("state.json", "sweep.yaml"):
        shutil.copy(root / "x" / file, root / file)
        shutil.copy(root / "x" / file, tmp_path / file)
    with pytest.raises(StorageError, match="is not a run in"):
        existing_run(name, str(root))


def test_a_rename_reaches_everything(tmp_path: Path) -> None:
    plan = store_run(tmp_path, "x", [("search-00000", "finished", GOOD)], status="finished")
    sweep_run, (trial,) = track(plan, uri(tmp_path))
    renamed = rename_run(str(tmp_path), "x", "y")
    assert (renamed.old, renamed.name, renamed.tracked) == ("x", "y", 2)
    there = read_plan(Storage(tmp_path / "y"))
    assert (there.sweep.name, there.state.renamed_from) == ("y", "")
    assert "name: y\n" in (tmp_path / "y" / "sweep.yaml").read_text()
    runs = {run.run_id: run for run in RunReader(uri(tmp_path)).list_runs()}
    assert {run.sweep for run in runs.values()} == {"y"}
    assert runs[sweep_run].name == "y" and trial in runs
    # A resume finds the renamed runs again, and creates none.
    assert track(there, uri(tmp_path)) == (sweep_run, [trial])
    assert len(RunReader(uri(tmp_path)).list_runs()) == 2


def test_names_that_are_not_possible(tmp_path: Path) -> None:
    for name in ("x", "y"):
        store_run(tmp_path, name, status="finished")
    with pytest.raises(NameTakenError, match=r"'y' exists in .*; choose another name"):
        rename_run(str(tmp_path), "x", "y")
    with pytest.raises(ConfigError, match="must be fit for a folder"):
        rename_run(str(tmp_path), "x", "a/b")
    with pytest.raises(StorageError, match=r"'xx' is not a run in .*; did you mean 'x'\?"):
        rename_run(str(tmp_path), "xx", "z")
    with pytest.raises(StorageError, match="is remote, where a folder cannot be renamed"):
        rename_run("mock://bucket", "x", "z")
    assert [run.name for run in run_summaries(str(tmp_path))] == ["x", "y"]


@contextmanager
def killed(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> Iterator[None]:
    """Let a function die instead of doing its work."""

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(owner, name, die)
        yield


def test_a_rename_that_was_cut_short_is_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = store_run(tmp_path, "x", [("search-00000", "running", GOOD)])
    track(plan, uri(tmp_path))
    with killed(monkeypatch, Path, "rename"):
        rename_run(str(tmp_path), "x", "y")
    assert [run.name for run in run_summaries(str(tmp_path))] == ["x"]
    with killed(monkeypatch, renaming, "rename_runs"):
        rename_run(str(tmp_path), "x", "y")
    there = read_plan(Storage(tmp_path / "y"))
    assert (there.sweep.name, there.state.renamed_from) == ("y", "x")
    assert {run.sweep for run in RunReader(uri(tmp_path)).list_runs()} == {"x"}
    # A resume completes it, and so does the same command.
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path / "y", copy / "y")
    shutil.copy(tmp_path / "mlflow.db", copy)
    assert finish_renaming(read_plan(Storage(copy / "y")), uri(copy)) == 2
    assert rename_run(str(tmp_path), "x", "y").tracked == 2
    for root in (copy, tmp_path):
        assert {run.sweep for run in RunReader(uri(root)).list_runs()} == {"y"}
        assert read_plan(Storage(root / "y")).state.renamed_from == ""


def test_a_removal_that_was_cut_short_is_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = store_run(tmp_path, "x", [("search-00000", "finished", GOOD)], status="finished")
    track(plan, uri(tmp_path))
    with killed(monkeypatch, Path, "rename"):
        remove_run(str(tmp_path), "x")
    assert summary(tmp_path, "x").done == 1
    with killed(monkeypatch, shutil, "rmtree"):
        remove_run(str(tmp_path), "x")
    assert list(run_summaries(str(tmp_path))) == []
    store_run(tmp_path, "x", status="finished")  # the name is free
    remove_run(str(tmp_path), "x")
    assert not list(tmp_path.glob(".removed-*"))
