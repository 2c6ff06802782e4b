"""Searches share epochs in a remote storage and in shared processes as they do in a folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from run_alone import run_alone
from test_shared_searches import options, records, write

from tune_nas.sweep import load_sweep, run_sweep
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.storage import Storage

pytestmark = pytest.mark.sweep

TUNE_NAS = str(Path(sys.executable).with_name("tune-nas"))


def test_checkpoints_of_others_in_a_remote_storage(bucket: str, tmp_path: Path) -> None:
    """With a cluster of its own, whose processes have the credentials of the storage."""
    file = write(tmp_path / "input", retrain=0)
    where = ("--storage", bucket, "--mlflow", f"sqlite:///{tmp_path / 'mlflow.db'}")
    command = [TUNE_NAS, "sweep", str(file), *where, "--concurrency", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "shared: 6 of 16 epochs were run; 3 trials took over the others" in done.stdout
    assert "itself" not in done.stderr
    for record in Records(Storage(bucket).within("sweep"), "search"):
        history, genotype = run_alone(record)
        losses = [metrics["valid_loss"] for metrics in history]
        assert [metrics["valid_loss"] for metrics in record.history] == losses, record.job.id
        assert record.genotype == genotype


def test_searches_that_run_in_one_process(tmp_path: Path, ray_session: None) -> None:
    """The searches of a process compute together, so they are equal up to rounding."""
    sweep = load_sweep(write(tmp_path / "input", retrain=0, seeds=2))
    run_sweep(sweep, options(tmp_path, together=2, concurrency=4, cpus_per_trial=0.4), "s")
    assert [record.taken for record in records(tmp_path)] == [0, 0, 2, 2, 4, 4, 4, 4]
    for record in records(tmp_path):
        history, genotype = run_alone(record)
        for found, expected in zip(record.history, history, strict=True):
            for key in ("train_loss", "valid_loss", "entropy/normal"):
                assert found[key] == pytest.approx(expected[key], rel=1e-4), (record.job.id, key)
        assert record.genotype == genotype
