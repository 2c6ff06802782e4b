from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import tune_nas
from tune_nas import manifest
from tune_nas.config import TrialConfig
from tune_nas.library import load_trial
from tune_nas.shipped import shipped_names


def test_help_names_every_command(command_line) -> None:
    out = command_line.ok("--help")
    for command in (
        "sweep",
        "search",
        "retrain",
        "resume",
        "list",
        "show",
        "inspect",
        "benchmark",
        "ui",
    ):
        assert f" {command} " in out
    assert "--install-completion" in out
    assert command_line.ok() == out


def test_version(command_line) -> None:
    assert command_line.ok("--version") == f"tune-nas {tune_nas.__version__}\n"


@pytest.mark.parametrize("kind", ["trial", "space", "sweep"])
def test_shipped_things_are_listed_with_a_description(command_line, kind: str) -> None:
    rows = command_line.json("list", f"{kind}s")
    assert [row["name"] for row in rows] == shipped_names(kind)
    assert all(row["description"] for row in rows)
    table = command_line.ok("list", f"{kind}s")
    assert all(row["name"] in table and row["description"] in table for row in rows)


def test_data_sets_are_listed(command_line) -> None:
    rows = command_line.json("list", "data")
    own_files = {"cifar10", "cifar100", "svhn", "imagenet16-120", "folder", "imagenet"}
    assert {"digits", "fake"} | own_files == {row["name"] for row in rows}
    assert all(row["description"] for row in rows)


def test_recipes_are_listed_with_their_settings(command_line) -> None:
    rows = {row["name"]: row for row in command_line.json("list", "recipes")}
    assert rows["nasbench201"] == {
        "name": "nasbench201",
        **{"epochs": 200, "batch_size": 256, "init_channels": 16, "cells": 5},
        **{"learning_rate": 0.1, "drop_path": 0.0},
    }


def test_parts_are_listed_with_the_classes_that_their_names_stand_for(command_line) -> None:
    rows = command_line.json("list", "parts")
    row = {
        "key": "relaxation.kind",
        "name": "gumbel",
        "part": "tune_nas.search.relaxation.gumbel:Gumbel",
    }
    assert row in rows
    again = "relaxation.weights"  # names the parts of relaxation.kind
    named = {key for key, kind in manifest.KINDS.items() if manifest.names(kind)} - {again}
    assert {row["key"] for row in rows} == named == set(manifest.KINDS) - {"searcher", again}
    assert "tune_nas.data.cifar:read_cifar100" in command_line.ok("list", "parts")


def test_a_data_set_that_cannot_be_imported_does_not_hide_the_others(
    command_line, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(config: object, part: str) -> None:
        """Never read."""

    monkeypatch.setattr(manifest, "_registered", {"datasets": {"broken": broken, "number": 3}})
    rows = {row["name"]: row["description"] for row in command_line.json("list", "data")}
    assert rows["broken"] == "Never read."
    assert rows["number"].startswith("data.name is 'number', but must be a function")
    assert rows["digits"].startswith("Open the 1,797")


def test_published_genotypes_are_listed_with_their_sources(command_line) -> None:
    rows = {row["name"]: row for row in command_line.json("list", "genotypes")}
    assert rows["PDARTS"] == {
        "name": "PDARTS",
        "space": "darts",
        "paper": "Chen et al., P-DARTS, arXiv:1904.12760",
        "source": "chenxin061/pdarts genotypes.py",
    }
    assert all(row["space"] in shipped_names("space") for row in rows.values())


def test_listing_runs_creates_no_store(command_line) -> None:
    assert command_line.json("list", "runs") == []
    assert command_line.ok("list", "runs") == "no runs in runs yet\n"
    assert list(command_line.folder.iterdir()) == []


def test_runs_are_listed_newest_first(command_line) -> None:
    from tune_nas.tracking import MlflowTracker

    tracker = MlflowTracker(f"sqlite:///{command_line.folder}/runs/mlflow.db")
    sweep = tracker.sweep_run("lambda", {"seeds": 1})
    trial = tracker.trial_run(sweep, "t1", phase="search", parameters={"update.lambda": 1})
    tracker.log_epoch(trial, 1, {"valid_accuracy": 61.5})
    tracker.finish(trial, reason="6 convolutions in the normal cell")
    rows = command_line.json("list", "runs")
    assert [row["run_id"] for row in rows] == [trial, sweep]
    assert rows[0]["sweep"] == "lambda"
    assert (rows[0]["status"], rows[0]["reason"]) == (
        "finished",
        "6 convolutions in the normal cell",
    )
    assert rows[0]["valid_accuracy"] == 61.5
    assert trial in command_line.ok("list", "runs")


@pytest.mark.parametrize("name", shipped_names("trial"))
def test_a_shown_trial_is_the_trial(command_line, name: str) -> None:
    content = yaml.safe_load(command_line.ok("show", name))
    assert TrialConfig.model_validate(content) == load_trial(name)


def test_a_shown_trial_names_the_keys_without_effect(command_line) -> None:
    lines = command_line.ok("show", "gdas").splitlines()
    comments = [line for line in lines if line.startswith("#")]
    assert comments[0] == "# no effect on this trial:"
    assert "#   update.epsilon: update.order is 1" in comments
    assert not any("temperature" in line for line in comments)
    assert not any("eigenvalue" in line for line in comments)  # a rule that it does not have
    assert "#   schedule.eigenvalue.max_decay: schedule.eigenvalue.action is 'stop'" in (
        command_line.ok("show", "darts-es").splitlines()
    )
    assert "#   relaxation.temperature.end: relaxation.kind is 'softmax'" in (
        command_line.ok("show", "darts-1st").splitlines()
    )


def test_a_shown_sweep_loads_again(command_line) -> None:
    from tune_nas.sweep.resolve import load_sweep

    Path("mine.yaml").write_text(command_line.ok("show", "lambda"), encoding="utf-8")
    assert load_sweep("mine.yaml") == load_sweep("lambda")


@pytest.mark.parametrize("name", shipped_names("space"))
def test_a_shown_space_loads_again(command_line, name: str) -> None:
    from tune_nas.spaces import load_space

    Path("mine.yaml").write_text(command_line.ok("show", name), encoding="utf-8")
    assert load_space("mine.yaml") == load_space(name)
    assert command_line.ok("show", "mine.yaml") == command_line.ok("show", name)


def test_a_file_is_shown_as_what_it_holds(command_line) -> None:
    Path("a.yaml").write_text("update: {level: mixed, lambda: .inf}\n", encoding="utf-8")
    assert yaml.safe_load(command_line.ok("show", "a.yaml"))["update"]["lambda"] == float("inf")
    Path("b.yaml").write_text(
        "trial: milenas\nparameters: {update.lambda: {grid: [0, 1]}}\n", encoding="utf-8"
    )
    shown = yaml.safe_load(command_line.ok("show", "b.yaml"))
    assert shown["parameters"] == {"update.lambda": {"grid": [0, 1]}}
