"""The best retrained network is a model of its MLflow run, once."""

from __future__ import annotations

from pathlib import Path

import mlflow
import pytest
import torch
from mlflow.entities import LoggedModel
from stored_runs import store_run

from tune_nas.config import TrialConfig
from tune_nas.library import with_overrides
from tune_nas.sweep import RetrainGrid, RunOptions, resume_sweep, run_retrain
from tune_nas.sweep.best_network import best_training
from tune_nas.sweep.runs.plan import read_plan
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.storage import Storage
from tune_nas.sweep.trained import load_network
from tune_nas.tracking import Experiment

CELL = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|skip_connect~0|none~1|avg_pool_3x3~2|"
TINY = {
    "space": {"name": "nasbench201"},
    "data": {"name": "fake", "train_images": 16, "resolution": 8},
    "retrain": {"epochs": 1, "batch_size": 8, "init_channels": 4, "cells": 1},
}


def trial() -> TrialConfig:
    return with_overrides(TINY, {})


def models(folder: Path, store_file: str = "mlflow.db") -> list[LoggedModel]:
    store = Experiment(f"sqlite:///{folder}/{store_file}")
    return list(store.client.search_logged_models([store.experiment_id]))


def test_one_run_of_several_has_the_model_and_a_resume_adds_none(tmp_path: Path) -> None:
    options = RunOptions(storage=str(tmp_path), quiet=True, log_model=True)
    run_retrain(trial(), CELL, options, "two", grid=RetrainGrid(genotypes=1, seeds=2))
    (model,) = models(tmp_path)
    store = Experiment(f"sqlite:///{tmp_path}/mlflow.db")
    run = store.client.get_run(model.source_run_id)
    assert run.data.tags["tune_nas.trial_id"] == "retrain-00000"
    (sweep,) = store.search({"tune_nas.phase": "sweep"})
    assert [each.model_id for each in sweep.outputs.model_outputs] == [model.model_id]
    mlflow.set_tracking_uri(store.uri)
    network = load_network("two/retrain-00000", tmp_path)
    images = torch.rand(3, 3, 8, 8)
    with torch.no_grad():
        found = mlflow.pytorch.load_model(model.model_uri)(images)
        assert torch.allclose(found, network(images), atol=1e-4, rtol=0)
    other = f"sqlite:///{tmp_path}/other.db"  # a resume keeps the option, and writes it all there
    for _ in range(2):
        read_plan(Storage(tmp_path / "two")).write_state(status="untracked")
        resume_sweep("two", RunOptions(storage=str(tmp_path), quiet=True, mlflow=other))
        assert [each.status for each in models(tmp_path, "other.db")] == ["READY"]
    assert len(models(tmp_path)) == 1


def test_without_the_option_there_is_none(tmp_path: Path) -> None:
    run_retrain(trial(), CELL, RunOptions(storage=str(tmp_path), quiet=True), "one")
    assert models(tmp_path) == []


def test_a_network_that_cannot_be_saved_leaves_the_run_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("an operation that torch.export does not know")

    monkeypatch.setattr("tune_nas.sweep.best_network.log_network", fail)
    options = RunOptions(storage=str(tmp_path), quiet=True, log_model=True)
    outcome = run_retrain(trial(), CELL, options, "one")
    assert (outcome.untracked, [each.status for each in outcome.results]) == ([], ["finished"])
    log = (tmp_path / "one" / "log.txt").read_text()
    assert "no model of one/retrain-00000: RuntimeError: an operation that torch" in log


@pytest.mark.parametrize(("values", "found"), [((60, 50), "retrain-00001"), ((50, 60), None)])
def test_the_network_is_that_of_the_best_search(
    tmp_path: Path, values: tuple[float, float], found: str | None
) -> None:
    """Both retraining runs have the genotype of the first search; one of them failed."""
    searches = [
        (f"search-0000{number}", "finished", {"valid_accuracy": value})
        for number, value in enumerate(values)
    ]
    trained = [
        ("retrain-00000", "failed", {"test_accuracy": 95.0}),
        ("retrain-00001", "finished", {"test_accuracy": 90.0}),
    ]
    plan = store_run(tmp_path, "swept", [*searches, *trained])
    phases = {phase: Records(plan.storage, phase) for phase in ("search", "retrain")}
    for number, record in enumerate(phases["search"]):
        record.genotype = f"genotype {number}"
    best = best_training(plan, phases)
    assert (None if best is None else best.job.id) == found
