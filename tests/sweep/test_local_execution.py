"""Searches and retraining runs in this process: the same records and files as with Ray."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest
import torch
from standin import GENOTYPE_FILE, TASKS, crash_after, write_sweep

from tune_nas.config import TrialConfig
from tune_nas.errors import ConfigError, StorageError
from tune_nas.library import load_trial, with_overrides
from tune_nas.sweep import RetrainGrid, RunOptions, resume_sweep, run_retrain, run_search
from tune_nas.sweep.config import SweepConfig
from tune_nas.sweep.execution_choice import runs_here
from tune_nas.sweep.resolution import BaseTrials
from tune_nas.sweep.runs.plan import Plan, State
from tune_nas.sweep.runs.record import Record
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.storage import Storage
from tune_nas.tracking import RunReader

TINY = {
    "name": "tiny",
    "space": {"name": "nasbench201", "init_channels": 4, "cells": 1},
    "data": {"name": "fake", "train_images": 32, "resolution": 8},
    "schedule": {"epochs": 4, "batch_size": 8},
    "retrain": {"epochs": 3, "batch_size": 8, "init_channels": 4, "cells": 1},
}
MEASURED = ("seconds", "memory", "images_per_second")
HERE = Path(__file__).parent


def options(folder: Path, **more: Any) -> RunOptions:
    return RunOptions(**{"storage": str(folder / "runs"), "quiet": True, "concurrency": 1, **more})


def stand_in(folder: Path, epochs: int = 4, **orders: Any) -> TrialConfig:
    file = write_sweep(folder / "input", orders, epochs=epochs)
    return load_trial(str(file.with_name("trial.yaml")), {"name": "one", "update.lambda": 1})


def records(folder: Path, name: str, phase: str = "search") -> list[Record]:
    return list(Records(Storage(folder / "runs" / name), phase))


def results(found: list[Record]) -> list[tuple[Any, ...]]:
    """Return everything of records that does not depend on time and place."""

    def computed(metrics: dict[str, float]) -> dict[str, float]:
        return {k: v for k, v in metrics.items() if not any(word in k for word in MEASURED)}

    return [
        (r.job, r.status, r.reason, [computed(m) for m in r.history], r.genotype, r.orders)
        for r in found
    ]


def runs(folder: Path) -> list[tuple[Any, ...]]:
    found = RunReader(f"sqlite:///{folder}/runs/mlflow.db").list_runs()
    return sorted(
        (run.name, run.phase, run.trial_id or "", run.state, run.status, sorted(run.metrics))
        for run in found
    )


def weights(folder: Path, trial: str = "search-00000") -> torch.Tensor:
    """Return all weights in the newest checkpoint of a trial, in one row."""
    checkpoints = sorted(folder.glob(f"runs/*/*/{trial}*/checkpoint_*"), key=os.path.getmtime)
    (state,) = checkpoints[-1].glob("*.pt")
    content = torch.load(state, weights_only=True)
    found: list[torch.Tensor] = []

    def collect(value: object) -> None:
        if isinstance(value, torch.Tensor):
            found.append(value.flatten().double())
        elif isinstance(value, dict):
            for key in sorted(value, key=str):
                collect(value[key])
        elif isinstance(value, list | tuple):
            for entry in value:
                collect(entry)

    collect(content)
    return torch.cat(found)


@pytest.mark.sweep
def test_a_search_and_a_retraining_run_equal_those_on_ray(
    tmp_path: Path, ray_session: None
) -> None:
    trial = with_overrides(TINY, {})
    grid = RetrainGrid(genotypes=1, seeds=2)
    for name, on_ray in (("here", False), ("there", True)):
        where = options(tmp_path / name, ray=on_ray)
        (found,) = run_search(trial, where, "s").results
        assert found.genotype is not None
        run_retrain(trial, found.genotype, where, "r", grid=grid)
    here, there = tmp_path / "here", tmp_path / "there"
    for name, phase, n in (("s", "search", 1), ("r", "retrain", 2)):
        own = results(records(here, name, phase))
        assert len(own) == n and own == results(records(there, name, phase))
    for job in ("search-00000", "retrain-00000", "retrain-00001"):
        assert torch.equal(weights(here, job), weights(there, job))
    assert runs(here) == runs(there)
    files = [
        sorted(
            str(path.relative_to(folder))
            for path in folder.glob("runs/[sr]/*/*/*/*")
            if path.is_file()
        )
        for folder in (here, there)
    ]
    assert files[0] == files[1] != []


@pytest.mark.sweep
@pytest.mark.parametrize("begun_on_ray", [True, False])
def test_a_run_is_resumed_in_the_other_way(
    begun_on_ray: bool, tmp_path: Path, ray_session: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = with_overrides(TINY, {})
    whole, crashed = tmp_path / "whole", tmp_path / "crashed"
    run_search(trial, options(whole), "s")
    with crash_after(monkeypatch, 2):
        run_search(trial, options(crashed, ray=begun_on_ray), "s")
    (record,) = records(crashed, "s")
    assert (record.status, record.epoch) == ("running", 2)
    resume_sweep("s", options(crashed, ray=not begun_on_ray))
    assert results(records(crashed, "s")) == results(records(whole, "s"))
    assert torch.equal(weights(crashed), weights(whole))
    assert runs(crashed) == runs(whole)


DRIVER = """
import sys
sys.path.insert(0, {here!r})
from standin import TASKS
from tune_nas.library import load_trial
from tune_nas.sweep import RunOptions, run_search
trial = load_trial({trial!r}, {{"name": "one", "update.lambda": 1}})
run_search(trial, RunOptions(storage={storage!r}, quiet=True), "s", tasks=TASKS)
"""


def started(folder: Path, epochs: int) -> subprocess.Popen[bytes]:
    stand_in(folder, epochs=epochs, pause=0.2)
    code = DRIVER.format(
        here=str(HERE), trial=str(folder / "input/trial.yaml"), storage=str(folder / "runs")
    )
    with (folder / "driver.txt").open("wb") as output:
        return subprocess.Popen([sys.executable, "-c", code], stdout=output, stderr=output)


def wait_for(reached: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while not reached():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


def reached(folder: Path, epoch: int) -> bool:
    try:
        return any(record.epoch >= epoch for record in records(folder, "s"))
    except StorageError:  # half-written
        return False


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_driver_resumes_with_the_same_results(
    number: signal.Signals, tmp_path: Path
) -> None:
    process = started(tmp_path, epochs=12)
    try:
        wait_for(lambda: reached(tmp_path, 3), process, tmp_path / "driver.txt")
        os.kill(process.pid, number)
        process.wait(timeout=60)
    finally:
        if process.poll() is None:
            process.kill()
    if number is signal.SIGTERM:
        found = RunReader(f"sqlite:///{tmp_path}/runs/mlflow.db").list_runs()
        assert {run.state for run in found} == {"KILLED"} and len(found) == 2
        assert all(run.tags["reason"].startswith("interrupted by SIGTERM") for run in found)
    (before,) = records(tmp_path, "s")
    assert 3 <= before.epoch < 12
    resume_sweep("s", options(tmp_path), tasks=TASKS)
    whole = tmp_path / "whole"
    run_search(stand_in(tmp_path, epochs=12), options(whole), "s", tasks=TASKS)
    (after,), (expected,) = records(tmp_path, "s"), records(whole, "s")
    assert after.history == expected.history and after.status == "finished"
    assert len(after.folders) == 2
    assert {state for *_, state, _, _ in runs(tmp_path)} == {"FINISHED"}


def test_ctrl_c_leaves_a_run_to_resume_and_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add, n_results = Records.add, iter(range(1))

    def add_and_interrupt(self: Records, *args: Any, **more: Any) -> bool:
        added = add(self, *args, **more)
        if next(n_results, None) is None:
            os.kill(os.getpid(), signal.SIGINT)
        return added

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Records, "add", add_and_interrupt)
        run_search(stand_in(tmp_path), options(tmp_path, quiet=False), "s", tasks=TASKS)
    line = "stopping: 1 trial, to resume from the last checkpoints: after epoch 2"
    assert line in capsys.readouterr().err.splitlines()
    assert {state for *_, state, _, _ in runs(tmp_path)} == {"KILLED"}
    outcome = resume_sweep("s", options(tmp_path), tasks=TASKS)
    assert [len(result.history) for result in outcome.results] == [4]


def test_a_trial_is_retried_from_its_newest_checkpoint(tmp_path: Path) -> None:
    trial = stand_in(tmp_path, fail_once=str(tmp_path / "failed"))
    outcome = run_search(trial, options(tmp_path), "s", tasks=TASKS)
    (record,) = records(tmp_path, "s")
    assert (record.status, record.failures) == ("finished", 1)
    assert record.last_error == "ValueError: failed once"
    whole = tmp_path / "whole"
    run_search(stand_in(tmp_path), options(whole), "s", tasks=TASKS)
    assert record.history == records(whole, "s")[0].history
    assert outcome.n_failed == 0


def test_a_failed_trial_has_one_line_and_a_traceback(tmp_path: Path) -> None:
    trial = stand_in(tmp_path, fail=0)
    outcome = run_search(trial, options(tmp_path, max_failures=1), "s", tasks=TASKS)
    (result,) = outcome.results
    assert (outcome.n_failed, result.error) == (1, "ValueError: the second epoch failed")
    text = (tmp_path / "runs/s/search/search-00000/error.txt").read_text()
    assert text.count("Failure # ") == 2 and "standin.py" in text
    assert ("FAILED", "failed") in {(state, status) for *_, state, status, _ in runs(tmp_path)}


def test_an_error_of_ours_that_would_come_again_is_not_retried(tmp_path: Path) -> None:
    tries = tmp_path / "tries"
    trial = stand_in(tmp_path, tries=str(tries), at="epoch", **{"raise": "ConfigError"})
    run_search(trial, options(tmp_path), "s", tasks=TASKS)
    (record,) = records(tmp_path, "s")
    assert (record.status, record.lasting, tries.read_text()) == ("failed", True, "tried\n")


def test_no_checkpoint_but_the_last_two_is_kept(tmp_path: Path) -> None:
    run_search(stand_in(tmp_path, epochs=5), options(tmp_path), "s", tasks=TASKS)
    names = sorted(path.name for path in (tmp_path / "runs/s/search/search-00000").iterdir())
    assert names == ["checkpoint_000003", "checkpoint_000004"]
    report = json.loads(
        (tmp_path / "runs/s/search/search-00000/checkpoint_000004/reports.json").read_text()
    )
    assert [entry["epoch"] for entry in report] == [1, 2, 3, 4, 5]


def test_the_process_of_the_caller_is_as_before(tmp_path: Path) -> None:
    def state() -> dict[str, object]:
        return {
            "threads": torch.get_num_threads(),
            "deterministic": torch.are_deterministic_algorithms_enabled(),
            "precision": torch.get_float32_matmul_precision(),
            "tf32": torch.backends.cudnn.allow_tf32,
            "filling": torch.utils.deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
            "filters": list(warnings.filters),
            "environment": dict(os.environ),
            "drawn": torch.get_rng_state().tolist(),
            "numpy": np.random.get_state()[1].tolist(),
            "handlers": [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)],
        }

    torch.set_num_threads(2)
    torch.use_deterministic_algorithms(False)  # other tests may have left another mode
    importlib.import_module("threadpoolctl")  # sets an environment variable on import
    before = state()
    run_search(with_overrides(TINY, {"schedule.epochs": 1}), options(tmp_path), "s")
    after = state()
    torch.set_num_threads(1)
    assert after == before
    assert before["threads"] == 2 and before["deterministic"] is False


def test_what_a_search_does_not_need_is_not_imported(tmp_path: Path) -> None:
    code = f"""
        import sys
        from tune_nas.library import with_overrides
        from tune_nas.sweep import RunOptions, run_search
        trial = with_overrides({TINY!r}, {{"schedule.epochs": 1}})
        run_search(trial, RunOptions(storage={str(tmp_path)!r}, quiet=True))
        heavy = ("ray", "optuna", "sklearn", "torch._dynamo", "torch._inductor", "sympy")
        print([name for name in heavy if name in sys.modules])
    """
    done = subprocess.run(
        [sys.executable, "-c", dedent(code)], check=True, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("kind", "more", "trial", "seeds", "here"),
    [
        ("search", {}, {}, None, True),
        ("search", {"ray": True}, {}, None, False),
        ("search", {"address": "auto"}, {}, None, False),
        ("search", {"gpus_per_trial": 0.5}, {}, None, False),
        ("sweep", {}, {}, None, False),
        ("retrain", {"concurrency": None}, {}, None, True),
        ("retrain", {"concurrency": None}, {}, 2, False),
        ("retrain", {"concurrency": None, "ray": False}, {}, 2, True),
        ("retrain", {}, {}, 2, True),
        ("retrain", {}, {"runtime": {"workers": 2}}, None, False),
        ("retrain", {"workers": 1}, {"runtime": {"workers": 2}}, None, True),
    ],
)
def test_what_runs_in_this_process(
    kind: str,
    more: dict[str, Any],
    trial: dict[str, Any],
    seeds: int | None,
    here: bool,
    tmp_path: Path,
) -> None:
    plan = _plan(tmp_path, kind, {**TINY, **trial}, seeds)
    assert runs_here(plan, options(tmp_path, **more), {}) is here


def test_what_needs_ray_is_refused_without_it(tmp_path: Path) -> None:
    plan = _plan(tmp_path, "sweep", TINY, None)
    with pytest.raises(ConfigError, match=r"^`ray` is false, but must be true for a sweep$"):
        runs_here(plan, options(tmp_path, ray=False), {})


def _plan(folder: Path, kind: str, trial: dict[str, Any], seeds: int | None) -> Plan:
    own = TrialConfig.model_validate(trial)
    sweep = {
        "name": "one",
        "trial": "one",
        "parameters": {},
        "retrain": 0 if seeds is None else {"genotypes": 1, "seeds": seeds},
    }
    state = State(kind=kind, genotype=GENOTYPE_FILE.read_text())
    bases = BaseTrials({"one": own})
    return Plan(Storage(folder / "runs"), SweepConfig.model_validate(sweep), bases, state)


def test_a_store_that_cannot_be_used_leaves_nothing(tmp_path: Path) -> None:
    where = options(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mlflow.db").write_bytes(b"no database" * 1000)
    trial = stand_in(tmp_path, epochs=100, pause=0.1)
    with pytest.raises(StorageError, match=r"^MLflow store sqlite:\S+mlflow.db cannot be used"):
        run_search(trial, where, "s", tasks=TASKS)
    assert not (tmp_path / "runs" / "s").exists()
