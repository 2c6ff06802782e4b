"""`tune-nas sweep` on a small sweep: the plan of a dry run, and a run from end to end."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
import yaml
from typer.testing import CliRunner

from tune_nas.cli import app
from tune_nas.cli.tables import table_of
from tune_nas.config import TrialConfig

SMALL = {
    "data.name": "fake",
    "space.init_channels": 4,
    "space.cells": 3,
    "schedule.epochs": 1,
    "schedule.steps_per_epoch": 2,
    "schedule.batch_size": 16,
    "retrain.epochs": 1,
    "retrain.init_channels": 4,
    "retrain.cells": 3,
    "retrain.auxiliary_weight": 0.0,
}
SWEEP = f"trial: milenas\nset: {json.dumps(SMALL)}\nparameters: {{update.lambda: {{grid: [0, 1]}}}}"


def test_a_dry_run_resolves_and_writes_nothing(command_line) -> None:
    Path("tiny.yaml").write_text(SWEEP, encoding="utf-8")
    plan = command_line.json("sweep", "tiny.yaml", "--dry-run", "--seeds", "2")
    assert [(t["parameters"]["update.lambda"], t["seed"]) for t in plan["trials"]] == [
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 1),
    ]
    assert plan["trials"][3]["trial"]["update"]["lambda"] == 1
    assert plan["trials"][3]["trial"]["seed"] == 1
    assert (plan["estimate"]["searches"], plan["estimate"]["search_epochs"]) == (4, 4)
    assert "minutes" not in plan["estimate"]  # no step was timed
    timed = command_line.ok("sweep", "tiny.yaml", "--estimate", "--concurrency", "1")
    assert "with 1 at a time (estimated from " in timed
    assert ", without retraining" in timed
    assert [path.name for path in Path().iterdir()] == ["tiny.yaml"]


@pytest.mark.parametrize(("seeds", "expected"), [("2", [0, 1]), ("4,2", [4, 2]), ("5,", [5])])
def test_the_number_of_seeds_or_the_seeds(command_line, seeds: str, expected: list[int]) -> None:
    Path("tiny.yaml").write_text(SWEEP, encoding="utf-8")
    plan = command_line.json("sweep", "tiny.yaml", "--dry-run", "--seeds", seeds)
    assert [t["seed"] for t in plan["trials"]] == 2 * expected  # of each of two values


def test_a_key_is_a_column_as_it_is_set() -> None:
    table = table_of(["update.lambda_prime", "valid_accuracy"], [])
    assert [column.header for column in table.columns] == ["update.lambda_prime", "valid accuracy"]


def test_a_dry_run_names_keys_ranges_and_conditions(command_line) -> None:
    parameters = {
        "update.level": {"choice": ["mixed", "bilevel"]},
        "update.lambda": {"loguniform": [0.1, 10], "when": {"update.level": "mixed"}},
        "optimizer.weights.momentum": {"uniform": [0.5, 0.9]},
    }
    own = {"trial": "milenas", "set": SMALL, "parameters": parameters, "searcher": "tpe"}
    Path("drawn.yaml").write_text(json.dumps({**own, "trials": 7, "scheduler": "none"}))
    text = command_line.ok("sweep", "drawn.yaml", "--dry-run")
    lines = [" ".join(line.split()) for line in text.splitlines()]
    for line in (
        "key values when",
        "update.level mixed, bilevel",
        "update.lambda 0.1 to 10.0, loguniform update.level = mixed",
        "optimizer.weights.momentum 0.5 to 0.9",
        "7 trials sampled by tpe",
    ):
        assert line in lines, text


def test_a_dry_run_of_a_search_and_of_a_retraining_run(command_line) -> None:
    keys = [f"--set={k}={value}" for k, value in SMALL.items() if k != "schedule.epochs"]
    plan = command_line.json("search", "milenas", *keys, "--epochs", "3", "--dry-run")
    assert plan["trials"][0]["schedule"]["epochs"] == 3
    assert plan["estimate"] == {"runs": 1, "epochs": 3}
    assert plan["memory"]["at_once"] == 1
    assert plan["memory"]["mib_per_trial"] > 0
    text = command_line.ok("search", "milenas", *keys, "--epochs", "3", "--estimate")
    assert re.search(r"^1 run, 3 epochs; about \d+\.\d minutes \(estimated from", text, re.M)
    assert re.search(r"^about \d+\.\d GiB of memory per trial; ", text, re.M)
    cell = "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    keys = [key for key in keys if "retrain" in key or "data" in key]
    plan = command_line.json("retrain", cell, *keys, "--seeds", "2", "--seed", "4", "--dry-run")
    assert [trial["seed"] for trial in plan["trials"]] == [4, 5]
    assert (plan["estimate"], plan["genotype"][:6]) == ({"runs": 2, "epochs": 2}, "space:")
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(("answer", "status"), [("n\n", 1), ("y\n", 0)])
def test_a_long_run_is_asked_about_on_a_terminal(
    command_line, monkeypatch: pytest.MonkeyPatch, answer: str, status: int
) -> None:
    """Only where epochs times pixels may take an hour, and the timed steps say so."""
    started: list[str] = []
    on_terminal = [True]
    seconds = [7.2]

    def run(trial: TrialConfig, *_: object, before_start: Callable[[], None]) -> None:
        before_start()
        started.append(trial.name)
        raise typer.Exit

    class Terminal:
        @staticmethod
        def isatty() -> bool:
            return on_terminal[0]

    monkeypatch.setattr("tune_nas.sweep.run_search", run, raising=False)
    streams = SimpleNamespace(stdin=Terminal, stderr=Terminal)
    monkeypatch.setattr("tune_nas.cli.cost_question.sys", streams)
    monkeypatch.setattr("tune_nas.sweep.run_cost.epoch_seconds", lambda *_: (seconds[0], 3))

    def search(*more: str, **changes: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["search", "darts-1st", *more], **changes)
        return result.exit_code, result.stderr

    found, shown = search("--epochs", "1000", input=answer)
    assert (found, len(started)) == (status, status == 0)
    assert "note: 2.0 hours: 1 run, 1000 epochs; about 120.0 minutes" in shown
    assert ("nothing was started" in shown) is (status == 1)
    for more in (["--epochs", "1000", "--yes"], ["--epochs", "50"]):  # not timed
        assert search(*more) == (0, "")
    seconds[0] = 3.5  # 58 minutes
    assert search("--epochs", "1000") == (0, "")
    seconds[0], on_terminal[0] = 7.2, False
    found, shown = search("--epochs", "1000")
    assert (found, "2.0 hours" in shown, "start?" in shown) == (0, True, False)
    assert search("--epochs", "1000", "--quiet") == (0, "")


def every_genotype_in(folder: Path) -> list[str]:
    """Return every file of a run that has a genotype, once for each; Ray's own are left out."""
    found: list[str] = []
    for path in sorted(folder.rglob("*")):
        if path.suffix not in (".yaml", ".json") or "space: " not in path.read_text():
            continue
        content = yaml.safe_load(path.read_text())
        if path.name == "results.json":
            found += [f"{path}:{result['trial_id']}" for result in content]
        elif path.name == "reports.json":
            found += [f"{path}:{report['epoch']}" for report in content]
        elif path.name == "best_by_size.yaml":
            found += [f"{path}:{size}" for size in content]
        elif path.name != "trials.yaml" and not path.name.startswith("experiment_state"):
            found.append(str(path))
    return found


@pytest.mark.sweep
def test_a_sweep_from_end_to_end(command_line) -> None:
    Path("tiny.yaml").write_text(SWEEP, encoding="utf-8")
    program = str(Path(sys.executable).with_name("tune-nas"))
    done = subprocess.run(
        [program, "sweep", "tiny.yaml", "--concurrency", "1"],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].strip() == "Sweep tiny"
    assert "best by supernet valid accuracy" in done.stdout
    assert lines[-1] == "all runs:      tune-nas ui"
    assert lines[-2] == "report:        runs/tiny/report.html"
    assert Path("runs/tiny/report.html").is_file()
    best = Path(lines[-3].removeprefix("best genotype: "))
    assert best == Path("runs/tiny/genotypes/best.yaml")  # as it would be typed here
    # stderr contains progress only: one line for each trial that ended, one for each phase.
    progress = [line.split(":")[0] for line in done.stderr.splitlines()]
    assert progress == [
        *("search (phase 1 of 2)", "search 1/2", "search 2/2"),
        *("retrain (phase 2 of 2)", "retrain 1/2", "retrain 2/2"),
    ]
    runs = command_line.json("list", "runs")
    assert sorted(run["phase"] for run in runs) == [
        *("retrain", "retrain", "search", "search", "sweep")
    ]
    assert {run["status"] for run in runs} == {"finished"}
    assert command_line.json("inspect", str(best))["space"] == "darts"
    searched = next(run["run_id"] for run in runs if run["phase"] == "search")
    assert command_line.json("inspect", searched)["space"] == "darts"
    found = every_genotype_in(Path("runs/tiny"))
    names = {name.partition(":")[0].rpartition("/")[2] for name in found}
    assert {"results.json", "reports.json", "genotype.yaml", "best_by_size.yaml"} <= names
    assert {"best.yaml", "search-00000.json", "retrain-00000.json"} <= names
    for name in found:
        assert command_line.json("inspect", name)["space"] == "darts", name
    assert "'tiny' has finished" in command_line.refused("resume", "tiny")
