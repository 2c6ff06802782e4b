"""Objectives of a sweep, records of searches with their values, and options to run it."""

from __future__ import annotations

from pathlib import Path

from tune_nas.sweep import RunOptions
from tune_nas.sweep.jobs import Job
from tune_nas.sweep.runs.records import Records

ACCURATE, SMALL = {"name": "valid_accuracy", "mode": "max"}, {"name": "parameters", "mode": "min"}
BOTH = [ACCURATE, SMALL]
PARAMETERS = "genotype/parameters"
LAMBDA = "update.lambda"


def add(records: Records, job: Job, accuracy: float, size: float, genotype: str = "") -> None:
    records.start(job)
    metrics = {"epoch": 4, "valid_accuracy": accuracy, PARAMETERS: size}
    records.add(job.id, {**metrics, "genotype": genotype or f"of {job.id}"})
    records.end(job.id)


def options(folder: Path) -> RunOptions:
    return RunOptions(storage=str(folder / "runs"), quiet=True, concurrency=1)
