"""`tune-nas runs`, `status`, `stop`, `extend`, `rename`, `rm`, `clean` and `doctor`."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "sweep"))

from stored_runs import store_run

from tune_nas.sweep import Extension, RunOptions
from tune_nas.sweep.manage.checkups import Checkup
from tune_nas.sweep.runs.locking import locked
from tune_nas.sweep.runs.stop_requests import StopRequests

TRIALS = [
    ("search-00000", "finished", {"valid_accuracy": 80.256789}),
    ("search-00001", "failed", {"valid_accuracy": 70.0}),
    ("search-00002", "running", {"valid_accuracy": 75.0}),
]
LONG = "a-name-of-a-run-that-goes-on-and-on-" * 4


@pytest.fixture
def plans(command_line: Any) -> dict[str, Any]:
    """Three runs: one lost, one finished, one with a long name."""
    root = command_line.folder / "runs"
    return {
        "lost": store_run(root, "lost", TRIALS, started=1e9, totals={"search": 3}),
        "done": store_run(root, "done", TRIALS[:2], status="finished"),
        LONG: store_run(root, LONG, interrupted="Ctrl-C"),
    }


def table(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


def test_one_line_a_run_within_100_columns(command_line, plans: dict[str, Any]) -> None:
    with locked(plans["lost"]):
        running = command_line.ok("runs", "--sort", "name")
    lines = table(command_line.ok("runs", "--sort", "name"))
    assert max(map(len, [*lines, *table(running)])) <= 100
    assert len(lines) == 5  # with the head and its rule
    assert lines[0].split() == [
        *("name", "kind", "status", "done", "running", "lost", "failed", "best", "age", "size")
    ]
    name, kind, status, done, *rest = lines[4].split()
    assert (name, kind, status, done) == ("lost", "sweep", "lost", "1/3")
    assert rest[:5] == ["-", "1", "1", "valid", "80.26"]
    assert lines[2].lstrip().startswith(LONG[:15]) and "…" in lines[2]
    assert "interrupted" in lines[2]
    assert "running" in running.splitlines()[-2]


def test_runs_as_json_filtered_and_sorted(command_line, plans: dict[str, Any]) -> None:
    every = command_line.json("runs")
    assert [run["name"] for run in every][-1] == "lost"  # the oldest
    (lost,) = command_line.json("runs", "--status", "lost")
    assert lost["best"] == {
        "value": 80.2568,
        "metric": "valid_accuracy",
        "trial_id": "search-00000",
        "is_final": True,
        "mode": "max",
    }
    assert [run["name"] for run in command_line.json("runs", "--sort", "best")][:2] == [
        "done",
        "lost",
    ]
    assert "no run in" in command_line.ok("runs", "--status", "untracked")
    message = command_line.refused("runs", "--status", "dead")
    assert message.startswith("--status is 'dead', but must be one of running, lost, interrupted")
    assert "--sort is 'x', but must be one of age, name" in command_line.refused(
        "runs", "--sort", "x"
    )
    shutil.rmtree("runs")
    assert command_line.ok("runs") == f"no runs in {command_line.folder}/runs yet\n"
    assert command_line.json("runs") == []


def test_of_losses_the_lowest_is_best(command_line) -> None:
    root = command_line.folder / "runs"
    for name, loss in (("high", 2.0), ("low", 1.0)):
        trials = [(f"search-{n:05}", "finished", {"valid_loss": loss + n}) for n in range(2)]
        store_run(root, name, trials, status="finished")
        file = root / name / "sweep.yaml"
        own = {"metric": "valid_loss", "mode": "min"}
        file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), **own}))
    found = command_line.json("runs", "--sort", "best")
    assert [(run["name"], run["best"]["value"], run["best"]["mode"]) for run in found] == [
        ("low", 1.0, "min"),
        ("high", 2.0, "min"),
    ]


def test_the_trials_of_a_run(command_line, plans: dict[str, Any]) -> None:
    trials = command_line.json("runs", "--sweep", "lost")
    assert [trial["status"] for trial in trials] == ["finished", "failed", "lost"]
    (failed,) = command_line.json("runs", "--sweep", "lost", "--status", "failed")
    assert failed["reason"] == "ValueError: no luck"
    lines = table(command_line.ok("runs", "--sweep", "lost"))
    assert lines[2].split()[:4] == ["search-00000", "λ=0", "seed=0", "finished"]
    assert "valid_accuracy 80.26" in lines[2]


def test_the_status_of_a_run(command_line, plans: dict[str, Any]) -> None:
    lines = table(command_line.ok("status", "lost"))
    assert lines[0] == (
        "lost: sweep, lost; phase 1 of 2 (search): 1 of 3 trials done, 1 lost, 1 failed"
    )
    assert lines[1].endswith("; best: valid 80.26 (search-00000)")
    assert lines[2] == "lost: its driver is gone; resume with: tune-nas resume lost"
    assert lines[3] == f"log: {command_line.folder}/runs/lost/log.txt"
    assert [line.split()[0] for line in lines[6:]] == [trial_id for trial_id, _, _ in TRIALS]
    content = command_line.json("status", "lost")
    assert (content["phase"], content["phases"], content["total"]) == ("search", 2, 3)
    assert content["trials"][2]["metrics"]["valid_accuracy"] == 75.0
    # In a pipe: a line, and the end, as the run does not run.
    out = command_line.ok("status", "lost", "--watch")
    assert out == f"{lines[0]}; best: valid 80.26 (search-00000)\n"


def test_a_near_name_is_suggested_everywhere(command_line, plans: dict[str, Any]) -> None:
    for command in (
        *(["status", "lst"], ["stop", "lst"], ["rm", "lst", "--yes"], ["rename", "lst", "x"]),
        *(["clean", "lst"], ["extend", "lst", "--seeds", "3"], ["resume", "lst"]),
        *(["report", "lst"], ["runs", "--sweep", "lst"]),
    ):
        message = command_line.refused(*command)
        runs = command_line.folder / "runs"
        assert message == f"'lst' is not a run in {runs}; did you mean 'lost'?"
    assert "did you mean 'lost'?" in command_line.refused("predict", "lst", "x.png")
    assert "did you mean 'lost'?" in command_line.refused(
        "select", "lst", "--selection", "magnitude"
    )


def test_stop_asks_the_driver(command_line, plans: dict[str, Any]) -> None:
    assert "'lost' is not running, but lost: its driver is gone" in command_line.refused(
        "stop", "lost"
    )
    requests = StopRequests(plans["lost"].storage)
    with locked(plans["lost"]):
        for arguments in (["lost", "search-00002"], ["lost/search-00002"]):
            out = command_line.ok("stop", *arguments)
            assert out == "lost/search-00002 will end as stopped early, after its next epoch\n"
            assert requests.pending("search-00002")
            requests.withdraw("search-00002")
        message = command_line.refused("stop", "lost", "search-00000")
        assert message == "'lost' has no running trial 'search-00000'; running: search-00002"
        assert "no running trial '../x'" in command_line.refused("stop", "lost", "../x")


def test_rm_asks(command_line, plans: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    message = command_line.refused("rm", "done")
    assert message.startswith("remove 'done' (")
    assert message.endswith(") and their runs in MLflow? This is not a terminal: give --yes")
    with locked(plans["lost"]):
        message = command_line.refused("rm", "done", "lost", "--yes")
        assert message == "'lost' is running; stop it: tune-nas stop lost"
    (removed,) = command_line.json("rm", "done", "--yes")
    assert (removed["name"], removed["tracked"]) == ("done", 0)
    assert command_line.ok("rm", "lost", LONG, "--yes").count("removed '") == 2
    assert command_line.json("runs") == []


def test_rename_and_clean(command_line, plans: dict[str, Any]) -> None:
    assert command_line.ok("rename", "done", "kept") == "renamed 'done' to 'kept'\n"
    assert command_line.json("rename", "kept", "done")["name"] == "done"
    assert "'done' exists in" in command_line.refused("rename", "lost", "done")
    assert "must be fit for a folder" in command_line.refused("rename", "done", "a/b")
    assert command_line.ok("clean") == "nothing to remove\n"
    assert command_line.ok("clean", "lost") == (
        "'lost' is skipped: it has not finished\nnothing to remove\n"
    )
    from test_cleaning import write_checkpoint

    trial = command_line.folder / "runs" / "done" / "search" / "search-00000"
    for number in (1, 2):
        write_checkpoint(trial / f"checkpoint_00000{number}", "search.pt")
    lines = table(command_line.ok("clean"))
    assert lines[2].split()[:4] == ["done", "old", "checkpoints", "1"]
    assert lines[3].endswith("KiB can be freed: give --yes")
    content = command_line.json("clean")
    assert content["freed"] is None and content["skipped"]["lost"] == "it has not finished"
    assert command_line.ok("clean", "--yes").splitlines()[-1].startswith("freed 3")
    assert [path.name for path in trial.iterdir()] == ["checkpoint_000002"]


@pytest.fixture
def extensions(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[Any, ...]]]:
    import tune_nas.sweep

    found: list[tuple[Any, ...]] = []

    def record(name: str, extension: Extension, options: RunOptions) -> None:
        found.append((name, extension, options))
        raise KeyboardInterrupt

    monkeypatch.setattr(tune_nas.sweep, "extend_sweep", record, raising=False)
    yield found


def test_the_options_of_extend(command_line, plans: dict[str, Any], extensions) -> None:
    for arguments, extension in (
        (["--seeds", "5"], Extension(seeds=5)),
        (["--seeds", "0,4"], Extension(seeds=[0, 4])),
        (["--trials", "+20"], Extension(more_trials=20)),
        (["--trials", "40"], Extension(trials=40)),
        (
            ["--values", "update.lambda=3,.inf", "--values", "update.level=mixed"],
            Extension(values={"update.lambda": [3, float("inf")], "update.level": ["mixed"]}),
        ),
        (
            ["--values", "optimizer.alphas.betas=[0.5, 0.9],[0, 0.9]"],
            Extension(values={"optimizer.alphas.betas": [[0.5, 0.9], [0, 0.9]]}),
        ),
    ):
        status, _, err = command_line.run("extend", "done", *arguments)
        assert (status, err) == (130, "tune-nas: interrupted; resume with: tune-nas resume done\n")
        assert extensions.pop()[:2] == ("done", extension)
    command = ("extend", "lost", "--values", "update.lambda=30", "--dry-run")
    assert command_line.json(*command)["searches"] == [
        {"trial": "search-00003", "update.lambda": 30.0, "seed": 0}
    ]
    assert table(command_line.ok(*command))[2].split() == ["search-00003", "30", "0"]
    for wrong in ("update.lambda", "=3", "update.lambda=", "update.lambda=[3"):
        assert "must be KEY=VALUES" in command_line.refused("extend", "done", "--values", wrong)
    for wrong in ("x", "+", "0", "-3", "+-3", "²"):
        assert "must be a number of trials" in command_line.refused(
            "extend", "done", "--trials", wrong
        )
    assert "nothing is added; give --seeds" in command_line.refused("extend", "done")


def test_doctor_says_what_is_wrong(command_line, monkeypatch: pytest.MonkeyPatch) -> None:
    found = command_line.json("doctor", "--quick")
    assert [entry["subject"] for entry in found] == [
        *("packages", "storage", "runs", "MLflow", "GPU", "data", "benchmark")
    ]
    assert {entry["status"] for entry in found} <= {"ok", "note"}
    assert not (command_line.folder / "runs").exists()
    Path("file").touch()
    status, out, _ = command_line.run(
        "doctor", "--quick", "--storage", "file", "--data", "cifar10", "--data-dir", "nowhere"
    )
    wrong = [line for line in out.splitlines() if line.startswith("PROBLEM")]
    assert status == 1
    assert [line.split()[1] for line in wrong] == ["storage", "runs", "MLflow", "data"]
    assert all("; to mend it: " in line for line in wrong)
    from tune_nas.sweep.manage import checkups

    monkeypatch.setattr(checkups.metadata, "requires", lambda _: ["torch>=99", "no-such>=1"])
    assert checkups._packages() == Checkup(
        "packages",
        "problem",
        f"torch {checkups._version('torch')}, not torch>=99; no-such is missing, not no-such>=1",
        "pip install -U tune-nas",
    )
    monkeypatch.setattr(checkups.build, "build_kernels", lambda: False)
    assert (checkups._kernels().status, checkups._kernels().subject) == ("note", "kernels")
