"""`tune-nas sweep` on a small sweep: the plan of a dry run, and a run from end to end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

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
    one = command_line.ok("sweep", "tiny.yaml", "--dry-run", "--concurrency", "1")
    assert "1 at a time" in one
    assert ", without retraining" in one
    assert [path.name for path in Path().iterdir()] == ["tiny.yaml"]


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
        *("search", "search 1/2", "search 2/2"),
        *("retrain", "retrain 1/2", "retrain 2/2"),
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
