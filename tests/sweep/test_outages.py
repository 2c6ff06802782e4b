"""A lost or slow MLflow server: no run is lost or duplicated, no sweep ends."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from mlflow import MlflowClient
from mlflow_proxy import Proxy
from mlflow_server import serving
from standin import TASKS, MakeSweep, crash_after, restart_ray

from tune_nas.cli.output import Format
from tune_nas.cli.run_summary import print_outcome
from tune_nas.config import TrialConfig
from tune_nas.errors import StorageError
from tune_nas.report import TrialResult
from tune_nas.sweep import RunOptions, resume_sweep, run_search, run_sweep
from tune_nas.sweep.runs.plan import read_plan
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.storage import Storage
from tune_nas.tracking import RunReader, RunWriter
from tune_nas.tracking.tracked_run import TrackedRun

pytestmark = pytest.mark.sweep
EPOCHS = 4
# One search at a time, so that the moment of an outage is known.
QUIET: dict[str, Any] = {"quiet": True, "concurrency": 1}
SLOW = {"pause": 0.15}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    with serving(folder) as address:
        yield address


@pytest.fixture
def proxy(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    # The store is retried at once, not after half a minute.
    monkeypatch.setattr("tune_nas.sweep.store_attempts._PAUSE_SECONDS", 0.2)
    monkeypatch.setattr("tune_nas.sweep.tracking._PAUSES", (0.0, 0.3, 0.3))
    proxy = Proxy(server)
    yield proxy
    proxy.stop()


@pytest.fixture
def during() -> Iterator[Callable[..., None]]:
    """Return a function that runs an action once a condition is met, in a thread."""
    stop, threads = threading.Event(), []

    def start(*steps: tuple[Callable[[], bool], Callable[[], None]]) -> None:
        def follow() -> None:
            for reached, act in steps:
                while not reached() and not stop.is_set():
                    time.sleep(0.02)
                if not stop.is_set():
                    act()

        threads.append(threading.Thread(target=follow))
        threads[-1].start()

    yield start
    stop.set()
    for thread in threads:
        thread.join()


def options(folder: Path, proxy: Proxy, **more: Any) -> RunOptions:
    return RunOptions(**{"storage": str(folder / "runs"), "mlflow": proxy.url, **QUIET, **more})


def set_mode(proxy: Proxy, mode: str) -> Callable[[], None]:
    return lambda: setattr(proxy, "mode", mode)


def epochs_of(folder: Path, name: str, phase: str) -> int:
    storage = Storage(folder / "runs" / name)
    try:
        return sum(record.epoch for record in Records(storage, phase))
    except StorageError:
        return 0


def assert_whole(server: str, name: str, results: list[TrialResult]) -> list[TrackedRun]:
    """Every trial has one run, closed with its end, with each of its epochs once."""
    client, reader = MlflowClient(server), RunReader(server)
    sweeps = [run for run in reader.list_runs() if run.sweep == name]
    (sweep,) = [run for run in sweeps if run.phase == "sweep"]
    assert sweep.state == "FINISHED"
    trials = [run for run in sweeps if run.phase != "sweep"]
    ids = {result.trial_id: result for result in results}
    assert Counter(run.trial_id for run in trials) == Counter(list(ids))
    by_trial = {run.trial_id: run for run in trials}
    for run in trials:
        result = ids[run.trial_id or ""]
        assert (run.state, run.status) == ("FINISHED", result.status)
        for metric in ("state", "seconds"):
            history = client.get_metric_history(run.run_id, metric)
            expected = [int(epoch["epoch"]) for epoch in result.history]
            assert sorted(entry.step for entry in history) == expected, (run.name, metric)
        parent = by_trial[result.parent].run_id if result.parent else sweep.run_id
        assert run.parent == parent
        assert "genotype" in run.tags
        names = {entry.path for entry in client.list_artifacts(run.run_id)}
        assert {"genotype.yaml", "cells.svg", "parameters.yaml"} <= names
    names = {entry.path for entry in client.list_artifacts(sweep.run_id)}
    assert {"report.md", "figure.png"} <= names
    return trials


@pytest.mark.parametrize("mode", ["closed", "error"])
def test_a_server_lost_across_the_end_of_a_phase(
    mode: str,
    make_sweep: MakeSweep,
    tmp_path: Path,
    proxy: Proxy,
    server: str,
    during: Callable[..., None],
    ray_session: None,
) -> None:
    """Lost while the second of three searches runs, and back during the first retraining."""
    name = f"phase-{mode}"
    during(
        (lambda: epochs_of(tmp_path, name, "search") >= EPOCHS + 2, set_mode(proxy, mode)),
        (lambda: epochs_of(tmp_path, name, "retrain") >= 1, set_mode(proxy, "open")),
    )
    sweep = make_sweep(SLOW, retrain="each")
    outcome = run_sweep(sweep, options(tmp_path, proxy), name, tasks=TASKS)
    assert proxy.spoiled
    assert (outcome.untracked, outcome.remarks) == ([], [])
    assert len(assert_whole(server, outcome.report.sweep, outcome.results)) == 6
    assert read_plan(Storage(tmp_path / "runs" / name)).state.status == "finished"


def test_a_server_lost_to_the_end_is_one_line_and_a_resume_sends_what_it_lacks(
    make_sweep: MakeSweep,
    tmp_path: Path,
    proxy: Proxy,
    server: str,
    during: Callable[..., None],
    ray_session: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    during((lambda: epochs_of(tmp_path, "end", "search") >= EPOCHS + 2, set_mode(proxy, "closed")))
    where = options(tmp_path, proxy)
    outcome = run_sweep(make_sweep(SLOW, retrain=1), where, "end", tasks=TASKS)
    (line,) = outcome.untracked
    assert line.startswith(
        f"MLflow store {proxy.url} lacks 3 of 4 trials and the sweep's own files ("
    )
    assert "\n" not in line
    folder = Path(outcome.folder)
    for file in ("results.json", "report.md", "figure.png", "genotypes/best.yaml"):
        assert (folder / file).stat().st_size > 0
    assert read_plan(Storage(folder)).state.status == "untracked"
    with pytest.raises(typer.Exit) as left:
        print_outcome(outcome, Format.TABLE, where.storage)
    assert left.value.exit_code == 1
    shown = capsys.readouterr()
    assert shown.err == (
        f"tune-nas: {line}; send it with: tune-nas resume end --storage {where.storage}\n"
    )
    assert "best by supernet valid accuracy" in shown.out

    with pytest.raises(StorageError, match=r"^MLflow store http\S+ cannot be reached"):
        resume_sweep(None, options(tmp_path, proxy, mlflow=None), tasks=TASKS)
    proxy.mode = "open"
    # No trial is left, so Ray is not asked.
    monkeypatch.setattr("tune_nas.sweep.on_ray.connect", None)
    sent = resume_sweep(None, options(tmp_path, proxy, mlflow=None), tasks=TASKS)
    assert sent.untracked == []
    assert sent.results == outcome.results
    assert len(assert_whole(server, "end", sent.results)) == 4
    with pytest.raises(StorageError, match="has finished; there is nothing to resume"):
        resume_sweep("end", options(tmp_path, proxy), tasks=TASKS)


def every_third() -> Callable[[str, str], bool]:
    """Disrupt each third request that changes something."""
    count = iter(range(10**6))

    def spoils(method: str, path: str) -> bool:
        changes = method != "GET" and "search" not in path
        return changes and next(count) % 3 == 0

    return spoils


@pytest.mark.parametrize(
    ("mode", "retries"), [("cut", "0"), ("cut", "2"), ("late", "2"), ("error", "0")]
)
def test_answers_that_are_lost_double_nothing(
    mode: str,
    retries: str,
    make_sweep: MakeSweep,
    tmp_path: Path,
    proxy: Proxy,
    server: str,
    ray_session: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Requests succeed but their answers are lost; MLflow's client may send them twice too."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", retries)
    name = f"lost-{mode}-{retries}"
    folder = tmp_path / "runs" / name
    proxy.spoils = every_third()
    proxy.begins = lambda: (
        epochs_of(tmp_path, name, "search") >= 1
    )  # the start is refused if it fails
    proxy.mode = mode
    sweep = make_sweep({"pause": 0.05}, retrain=1, parameters={"update.lambda": {"grid": [0, 1]}})
    run_sweep(sweep, options(tmp_path, proxy), name, tasks=TASKS)
    assert len(proxy.spoiled) > 3
    proxy.mode = "open"
    proxy.wait()
    # Late requests may arrive after the end: checking the store corrects that too.
    read_plan(Storage(folder)).write_state(status="untracked")
    outcome = resume_sweep(name, options(tmp_path, proxy), tasks=TASKS)
    assert outcome.untracked == []
    assert_whole(server, outcome.report.sweep, outcome.results)


@pytest.mark.parametrize("case", ["deleted", "another"])
def test_a_store_that_is_gone_or_another_one_gets_every_run(
    case: str,
    tmp_path: Path,
    ray_session: None,
    make_sweep: MakeSweep,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between the interruption and the resume mlflow.db was deleted, or another is given."""
    store = tmp_path / "runs" / "mlflow.db"
    where = RunOptions(storage=str(tmp_path / "runs"), **QUIET)
    with crash_after(monkeypatch, EPOCHS + 2):
        run_sweep(make_sweep(retrain=1), where, "killed", tasks=TASKS)
    ended = Records(Storage(tmp_path / "runs" / "killed"), "search")["search-00000"]
    assert (ended.status, ended.tracked) == ("finished", True)
    if case == "another":
        uri = f"sqlite:///{tmp_path}/new/mlflow.db"
        other = RunOptions(storage=str(tmp_path / "runs"), mlflow=uri, **QUIET)
        outcome = resume_sweep("killed", other, tasks=TASKS)
        assert outcome.mlflow_uri == uri
        assert read_plan(Storage(outcome.folder)).state.mlflow == uri
        assert len(assert_whole(uri, "killed", outcome.results)) == 4
        return
    store.unlink()
    # In a separate process, as SQLAlchemy's pool here has the deleted file open.
    driver = [sys.executable, str(Path(__file__).with_name("driver.py"))]
    subprocess.run([*driver, "resume", str(tmp_path / "runs"), "1"], check=True, timeout=300)
    shutil.copy(store, store.with_name("copy.db"))
    phases = [Records(Storage(tmp_path / "runs/killed"), name) for name in ("search", "retrain")]
    results = [record.result() for records in phases for record in records]
    uri = f"sqlite:///{store.with_name('copy.db')}"
    assert len(assert_whole(uri, "killed", results)) == 4


def test_files_of_a_trial_whose_driver_died_before_it_wrote_them(
    make_sweep: MakeSweep, tmp_path: Path, ray_session: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The window between a trial's end and the end of its run; with a real search."""
    trial = TrialConfig.model_validate(
        {
            "name": "window",
            "space": {"name": "nasbench201", "init_channels": 4, "cells": 1},
            "data": {"train_images": 64},
            "schedule": {"epochs": 2, "batch_size": 16},
            "runtime": {"implementation": "torch"},
        }
    )
    where = RunOptions(storage=str(tmp_path / "runs"), **QUIET)

    def die(self: RunWriter, run_id: str, of: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(RunWriter, "_write_files", die)
        run_search(trial, where, "window")
    restart_ray()
    outcome = resume_sweep("window", where)
    reader = RunReader(outcome.mlflow_uri)
    (run,) = [run for run in reader.list_runs() if run.phase == "search"]
    assert run.state == "FINISHED"
    checkpoint = max((tmp_path / "runs/window/search/search-00000").glob("checkpoint_*"))
    for name in ("alphas.csv", "best_by_size.yaml"):
        assert reader.read_artifact(run.run_id, name) == (checkpoint / name).read_bytes()
    assert reader.read_artifact(run.run_id, "alphas.png").startswith(b"\x89PNG")


def test_ctrl_c_in_an_outage_is_no_traceback(
    make_sweep: MakeSweep,
    tmp_path: Path,
    proxy: Proxy,
    server: str,
    ray_session: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add = Records.add

    def lose(self: Records, *args: Any, **more: Any) -> bool:
        proxy.mode = "closed"
        return add(self, *args, **more)

    monkeypatch.setattr(Records, "add", lose)
    with crash_after(monkeypatch, 2):  # a KeyboardInterrupt comes out, and nothing else
        run_sweep(make_sweep(), options(tmp_path, proxy), "out", tasks=TASKS)
    monkeypatch.undo()
    proxy.mode = "open"
    outcome = resume_sweep("out", options(tmp_path, proxy), tasks=TASKS)
    assert_whole(server, outcome.report.sweep, outcome.results)
