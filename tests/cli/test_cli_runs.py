"""The options of `tune-nas sweep`, `search`, `retrain` and `resume`, and the output of a run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from tune_nas.report import Report, TrialResult
from tune_nas.sweep import RunOptions, SweepConfig, SweepOutcome


@dataclass
class Call:
    """The arguments that a command passes to the sweep layer."""

    what: tuple[object, ...]
    options: RunOptions
    name: str


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """Record the requests of commands, and answer with a report of one trial, which failed."""
    import tune_nas.sweep

    found: list[Call] = []
    result = TrialResult(
        trial_id="t1",
        phase="search",
        parameters={"update.lambda": float("inf")},
        seed=0,
        status="failed",
        reason="failed",
        metrics={},
        history=[],
        genotype=None,
        error="ValueError: no luck",
        parent=None,
    )
    report = Report("mine", ["update.lambda"], [result], "valid_accuracy")

    def record(*arguments: object, **further: object) -> SweepOutcome:
        *what, options, name = arguments
        assert callable(further.pop("before_start"))
        assert isinstance(options, RunOptions) and isinstance(name, str)
        found.append(Call((*what, *further.values()), options, name))
        return SweepOutcome(report, [result], "runs/mine", None, "sqlite:///other.db", 1)

    for command in ("run_sweep", "run_search", "run_retrain"):
        monkeypatch.setattr(tune_nas.sweep, command, record, raising=False)
    return found


def test_options_of_a_sweep_reach_it(command_line, calls: list[Call]) -> None:
    options = """
        --data cifar10 --data-dir d --space nasbench201 --epochs 7 --seeds 3,5 --searcher tpe
        --scheduler asha --trials 9 --retrain 2 --seed 4 --set schedule.epochs=8
        --set update.order=2 --name mine --concurrency 3 --cpus-per-trial 0.5
        --gpus-per-trial 0.25 --address a:1 --storage s --mlflow http://m --quiet
    """
    status, _, err = command_line.run("sweep", "lambda", *options.split())
    (call,) = calls
    (sweep,) = call.what
    assert isinstance(sweep, SweepConfig)
    set_here = {
        "data.name": "cifar10",
        "data.dir": str(command_line.folder / "d"),
        "space.name": "nasbench201",
        "schedule.epochs": 8,
        "update.order": 2,
    }
    assert set_here.items() <= sweep.set.items()
    assert (sweep.seeds, sweep.searcher, sweep.scheduler) == ([3, 5], "tpe", "asha")
    assert (sweep.trials, sweep.retrain, sweep.seed) == (9, 2, 4)
    assert call.options == RunOptions(
        storage="s",
        mlflow="http://m",
        address="a:1",
        concurrency=3,
        cpus_per_trial=0.5,
        gpus_per_trial=0.25,
        quiet=True,
        live=False,
        log_model=True,
    )
    assert (call.name, status, err) == ("mine", 1, "")


def test_gpus_that_would_be_idle_are_said(command_line, calls: list[Call]) -> None:
    _, _, err = command_line.run("search", "milenas", "--gpus-per-trial", "2")
    assert err == (
        "tune-nas: note: --gpus-per-trial is 2, but a trial computes on one GPU: of each trial's "
        "GPUs 1 will be idle\n"
    )
    assert calls[0].options.gpus == 2


def test_a_set_key_is_no_longer_swept(command_line, calls: list[Call]) -> None:
    parameters = "{update.lambda: {grid: [0, 1]}, update.order: {grid: [1]}}"
    Path("mine.yaml").write_text(f"trial: milenas\nparameters: {parameters}", encoding="utf-8")
    command_line.run("sweep", "mine.yaml", "--set", "update.lambda=0.3")
    (sweep,) = calls[0].what
    assert isinstance(sweep, SweepConfig)
    assert list(sweep.parameters) == ["update.order"]
    assert sweep.set == {"update.lambda": 0.3}


def test_options_of_a_search_reach_it(command_line, calls: list[Call]) -> None:
    command_line.run("search", "milenas", "--epochs", "3", "--seed", "7", "--set", "space.cells=4")
    (trial,) = calls[0].what
    assert (trial.schedule.epochs, trial.seed, trial.space.cells) == (3, 7, 4)
    assert (calls[0].name, calls[0].options) == ("milenas", RunOptions(concurrency=1))


def test_options_of_a_retrain_reach_it(command_line, calls: list[Call]) -> None:
    from tune_nas.spaces import Genotype

    cell = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|nor_conv_1x1~2|"
    Path("cell.txt").write_text(cell, encoding="utf-8")
    arguments = ["--epochs", "3", "--set", "retrain.cells=3", "--no-log-model"]
    command_line.run("retrain", "cell.txt", *arguments)
    assert calls[0].options == RunOptions(concurrency=1, log_model=False)
    trial, genotype, parent, grid = calls[0].what
    assert grid is None
    assert Genotype.parse(genotype) == Genotype.parse(cell)
    assert (trial.space.name, trial.retrain.epochs, trial.retrain.cells) == ("nasbench201", 3, 3)
    assert trial.schedule.epochs == 50
    assert (parent, calls[0].name) == (None, "retrain-cell")


@pytest.mark.parametrize(
    ("arguments", "space", "name", "wanted"),
    [
        (["9"], "nasbench201", "9", "nasbench201:9"),
        (["PC_DARTS_cifar"], "darts", "PC_DARTS_cifar", "PC_DARTS_cifar"),
        (["many.py:second"], "darts", "second", "PDARTS"),
        (["many.py:1", "--space", "darts-no-none"], "darts-no-none", "1", "DARTS_V2"),
        (["FairDARTS_b"], "darts-all-edges", "FairDARTS_b", "FairDARTS_b"),
    ],
)
def test_a_retrain_takes_what_inspect_takes(
    command_line, calls: list[Call], arguments: list[str], space: str, name: str, wanted: str
) -> None:
    from tune_nas.spaces import Genotype

    first, second = (Genotype.parse(known).to_darts() for known in ("DARTS_V2", "PDARTS"))
    Path("many.py").write_text(f"first = {first}\nsecond = {second}\n", encoding="utf-8")
    status, _, err = command_line.run("retrain", *arguments)
    assert (status, err) == (1, "")
    trial, genotype, *_ = calls[0].what
    assert trial.space.name == space
    assert Genotype.parse(genotype) == Genotype(space, Genotype.parse(wanted).cells)
    assert calls[0].name == f"retrain-{name}"


@pytest.mark.parametrize(
    "text", ["", "MiLeNAS: first order", "[draft] mine", "2024-01-01", "true", "a # the images"]
)
def test_a_retrain_of_a_run_has_its_trial_whatever_it_says(
    command_line, calls: list[Call], text: str
) -> None:
    from tune_nas.library import load_trial, with_overrides
    from tune_nas.spaces import Genotype, load_space
    from tune_nas.tracking import MlflowTracker

    stop = {"convolutions": {"normal": 2}}
    trial = load_trial("milenas", {"description": text, "name": "123", "schedule.stop": stop})
    tracker = MlflowTracker(f"sqlite:///{command_line.folder}/runs/mlflow.db")
    name = "search space=mine/own.yaml seed=0"
    run = tracker.trial_run(
        tracker.sweep_run("s", {}), "t", phase="search", parameters=trial.to_dict(), name=name
    )
    found = Genotype.parse("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|")
    tracker.log_genotype(run, found, load_space("nasbench201"))
    command_line.run("retrain", run, "--epochs", "3")
    again, genotype, parent, _ = calls[0].what
    assert again == with_overrides(trial, {"retrain.epochs": 3})
    assert (Genotype.parse(genotype), parent) == (found, run)
    assert calls[0].name == "retrain-search-space=mine-own.yaml-seed=0"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--data", "digits"], {"name": "digits", "dir": None, "train_images": None}),
        (["--data", "cifar100"], {"name": "cifar100", "dir": "/images", "train_images": None}),
        (["--data", "cifar10"], {"name": "cifar10", "dir": "/images", "train_images": 5000}),
        (
            ["--data", "folder", "--data-dir", "/mine", "--set", "data.train_images=100"],
            {"name": "folder", "dir": "/mine", "train_images": 100},
        ),
    ],
)
def test_a_genotype_is_trained_on_another_data_set(
    command_line, calls: list[Call], arguments: list[str], expected: dict[str, object]
) -> None:
    from tune_nas.library import load_trial
    from tune_nas.spaces import Genotype, load_space
    from tune_nas.tracking import MlflowTracker

    data = {"name": "cifar10", "dir": "/images", "train_images": 5000, "resolution": 16}
    trial = load_trial("milenas", {"data": data})
    tracker = MlflowTracker(f"sqlite:///{command_line.folder}/runs/mlflow.db")
    run = tracker.trial_run(
        tracker.sweep_run("s", {}), "t", phase="search", parameters=trial.to_dict(), name="mine"
    )
    found = Genotype.parse("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|")
    tracker.log_genotype(run, found, load_space("nasbench201"))
    status, _, err = command_line.run("retrain", run, *arguments)
    assert (status, err) == (1, "")
    used = calls[0].what[0].data
    assert {key: getattr(used, key) for key in expected} == expected
    assert used.resolution == 16


def test_a_resume_goes_on_where_it_was_unless_it_is_told(
    command_line, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tune_nas.sweep

    seen: list[tuple[RunOptions, bool, bool]] = []

    def resume(_: object, options: RunOptions, *, failed: bool, stopped: bool) -> None:
        seen.append((options, failed, stopped))
        raise KeyboardInterrupt

    monkeypatch.setattr(tune_nas.sweep, "resume_sweep", resume, raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere")
    command_line.run("resume")
    command_line.run("resume", "--mlflow", "http://here", "--cpus-per-trial", "2")
    command_line.run("resume", "--failed")
    command_line.run("resume", "--stopped")
    assert seen == [
        (RunOptions(), False, False),
        (RunOptions(mlflow="http://here", cpus_per_trial=2), False, False),
        (RunOptions(), True, False),
        (RunOptions(), False, True),
    ]


def test_a_free_name_is_found(command_line, calls: list[Call]) -> None:
    Path("runs/milenas").mkdir(parents=True)
    Path("runs/milenas-2").mkdir()
    command_line.run("search", "milenas")
    command_line.run("search", "milenas", "--name", "milenas")
    assert [call.name for call in calls] == ["milenas-3", "milenas"]


def test_a_failed_trial_is_said_and_is_the_status(command_line, calls: list[Call]) -> None:
    status, out, err = command_line.run("sweep", "lambda")
    assert (status, err) == (1, "")
    assert "ValueError: no luck" in out
    assert "tune-nas ui --mlflow sqlite:///other.db" in out
    status, out, err = command_line.run("sweep", "lambda", "--format", "json")
    found = json.loads(out)
    assert (status, err, found["failed"], found["folder"]) == (1, "", 1, "runs/mine")
    assert found["rows"][0]["values"] == {"update.lambda": "inf"}
    assert (found["best_genotype"], found["best_genotype_path"]) == (None, None)


@pytest.mark.parametrize("storage", [[], ["--storage", "a b"]])
def test_ctrl_c_says_how_to_go_on(
    command_line, monkeypatch: pytest.MonkeyPatch, storage: list[str]
) -> None:
    import tune_nas.sweep

    written = False

    def interrupt(_: object, options: RunOptions, name: str, **__: object) -> None:
        if written:
            (Path(options.storage) / name).mkdir(parents=True)
            (Path(options.storage) / name / "state.json").write_text("{}", encoding="utf-8")
        raise KeyboardInterrupt

    monkeypatch.setattr(tune_nas.sweep, "run_sweep", interrupt, raising=False)
    interrupted = command_line.run("sweep", "lambda", *storage)
    assert interrupted == (130, "", "tune-nas: interrupted; nothing was written\n")
    written = True
    status, out, err = command_line.run("sweep", "lambda", *storage)
    hint = " --storage 'a b'" if storage else ""
    assert (status, out) == (130, "")
    assert err == f"tune-nas: interrupted; resume with: tune-nas resume lambda{hint}\n"


def test_a_key_without_effect_in_a_trial_file_is_noted(calls: list[Call], command_line) -> None:
    text = "relaxation: {temperature: {start: 10.0, end: 0.5}}\nupdate: {epsilon: 0.01}\n"
    Path("mine.yaml").write_text(text, encoding="utf-8")
    note = (
        "tune-nas: note: mine.yaml: relaxation.temperature.end is 0.5, but has no effect where "
        "relaxation.kind is 'softmax'; it needs relaxation.kind 'gumbel' or 'concrete'\n"
    )
    assert command_line.run("search", "mine.yaml")[2] == note
    assert command_line.run("search", "mine.yaml", "--quiet")[2] == ""
    assert command_line.run("search", "mine.yaml", "--set", "relaxation.kind=gumbel")[2] == ""

    sweep = "trial: mine.yaml\nparameters: {KEY: {grid: VALUES}}\n"
    Path("order.yaml").write_text(
        sweep.replace("KEY", "update.order").replace("VALUES", "[1, 2]"), encoding="utf-8"
    )
    assert command_line.run("sweep", "order.yaml")[2] == note
    Path("kind.yaml").write_text(
        sweep.replace("KEY", "relaxation.kind").replace("VALUES", "[softmax, gumbel]"),
        encoding="utf-8",
    )
    assert command_line.run("sweep", "kind.yaml")[2] == ""
