"""Real searches that share epochs under Ray: bit for bit those of a sweep without sharing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from standin import crash_after

from tune_nas.sweep import RunOptions, load_sweep, resume_sweep, run_sweep
from tune_nas.sweep.reports_file import read_reports
from tune_nas.sweep.runs.checkpoints import list_checkpoints
from tune_nas.sweep.runs.record import Record
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.storage import Storage
from tune_nas.tracking import RunReader

pytestmark = pytest.mark.sweep

MEASURED = ("seconds", "memory", "images_per_second")
TRIAL = {
    "space": {"name": "nasbench201", "init_channels": 4, "cells": 1},
    "data": {"name": "fake", "train_images": 32, "resolution": 8},
    "update": {"level": "mixed", "lambda": 1, "warmup": 2},
    "schedule": {"epochs": 4, "batch_size": 8},
    "selection": {"sampled": {"genotypes": 4}},
    "retrain": {"epochs": 1, "batch_size": 8, "init_channels": 4, "cells": 1},
}
KINDS = ["magnitude", "sampled"]


def write(folder: Path, **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "trial.yaml").write_text(yaml.safe_dump(TRIAL))
    parameters = {"update.lambda": {"grid": [0, 1]}, "selection.kind": {"grid": KINDS}}
    own = {"trial": str(folder / "trial.yaml"), "parameters": parameters, "retrain": "each"}
    (folder / "sweep.yaml").write_text(yaml.safe_dump({**own, **changes}))
    return folder / "sweep.yaml"


def options(folder: Path, **more: Any) -> RunOptions:
    return RunOptions(**{"storage": str(folder / "runs"), "quiet": True, "concurrency": 1, **more})


def records(folder: Path, phase: str = "search") -> list[Record]:
    return list(Records(Storage(folder / "runs" / "s"), phase))


def results(folder: Path) -> list[tuple[Any, ...]]:
    """Return everything of the records that does not depend on time and place."""

    def computed(metrics: dict[str, float]) -> dict[str, float]:
        return {k: v for k, v in metrics.items() if not any(word in k for word in MEASURED)}

    return [
        (r.job, r.status, r.reason, [computed(m) for m in r.history], r.genotype, r.orders)
        for phase in ("search", "retrain")
        for r in records(folder, phase)
    ]


def newest_epoch(record: Record) -> int:
    newest = next(list_checkpoints(record.folders))
    return int(read_reports(Path(newest))[-1]["epoch"])


def runs(folder: Path) -> list[tuple[Any, ...]]:
    found = RunReader(f"sqlite:///{folder}/runs/mlflow.db").list_runs()
    return sorted(
        (run.name, run.phase, run.trial_id or "", run.state, run.status, sorted(run.metrics))
        for run in found
    )


def test_searches_and_retraining_runs(
    tmp_path: Path, ray_session: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """λ matters after the warm-up of 2 of 4 epochs, the selection at the end; with a kill."""
    on, off = tmp_path / "on", tmp_path / "off"
    sweep = load_sweep(write(tmp_path / "input"))
    run_sweep(sweep.model_copy(update={"share": False}), options(off), "s")
    with crash_after(monkeypatch, results=6):  # while the second trial reports epochs of the first
        run_sweep(sweep, options(on), "s")
    resume_sweep("s", options(on))
    assert results(on) == results(off)
    assert runs(on) == runs(off)
    assert [record.taken for record in records(on)] == [0, 2, 4, 4]
    assert sum(record.epochs_run for record in records(on)) == 6
    assert [record.taken for record in records(off)] == [0] * 4


def test_asha(tmp_path: Path, ray_session: None) -> None:
    """ASHA may stop a trial after epoch 1 and 2: the state of a stopped one is of that epoch."""
    found = {}
    for name, share in (("on", True), ("off", False)):
        changes = {"scheduler": "asha", "asha": {"grace_period": 1}, "share": share, "retrain": 0}
        parameters = {"update.lambda": {"grid": [0, 0.1, 1, 10]}}
        file = write(tmp_path / "input", parameters=parameters, seeds=2, **changes)
        run_sweep(load_sweep(file), options(tmp_path / name), "s")
        found[name] = results(tmp_path / name)
        states = [newest_epoch(record) for record in records(tmp_path / name)]
        assert states == [record.epoch for record in records(tmp_path / name)]
    assert found["on"] == found["off"]
    assert len({record.status for record in records(tmp_path / "on")}) == 2
