"""`tune-nas analyze`, from a checkpoint in a folder; tests/sweep/test_analysis_run.py runs it."""

from __future__ import annotations

import pytest

from tune_nas.config import TrialConfig
from tune_nas.operation_strength import StrengthTable
from tune_nas.report import Report, TrialResult
from tune_nas.search.analysis import Analysis
from tune_nas.sweep import RunOptions, SweepConfig, SweepOutcome
from tune_nas.sweep.jobs import Job
from tune_nas.sweep.resolve import BaseTrials
from tune_nas.sweep.runs.locking import check_free
from tune_nas.sweep.runs.plan import Plan, State
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.storage import Storage

NAMES = ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"]


class Started:
    """Runs analyses in this process, and writes what a finished one leaves in its folder."""

    def __init__(self) -> None:
        self.trials: list[TrialConfig] = []
        self.names: list[str] = []
        self.options: list[RunOptions] = []
        self.status = "finished"
        self.failed: list[TrialResult] = []

    def __call__(
        self, trial: TrialConfig, options: RunOptions, name: str, *, parent_run: str | None
    ) -> SweepOutcome:
        assert parent_run is None
        self.trials.append(trial)
        self.names.append(name)
        self.options.append(options)
        storage = Storage(options.storage).within(name)
        check_free(storage, name, options)
        sweep = SweepConfig(name=name, trial=trial.name, parameters={})
        Plan(storage, sweep, BaseTrials({trial.name: trial}), State("analysis", "running")).write()
        if self.status == "interrupted":
            raise KeyboardInterrupt
        analysis = Analysis(trial)
        while not analysis.done:
            analysis.run_epoch()
        storage.write("analysis.json", analysis.table().to_json())
        finished = State("analysis", "finished")
        Plan(storage, sweep, BaseTrials({trial.name: trial}), finished).write()
        report = Report(name, [], self.failed, "accuracy_at_convergence")
        return SweepOutcome(
            report, [], str(storage.root), None, "", len(self.failed), analysis=analysis.table()
        )


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    import tune_nas.sweep

    found = Started()
    monkeypatch.setattr(tune_nas.sweep, "start_analysis", found, raising=False)
    return found


def test_every_operation_is_printed(command_line, checkpoint: str, started: Started) -> None:
    arguments = ("analyze", checkpoint, "--edge", "normal:1->3", "--epochs", "1")
    status, out, err = command_line.run(*arguments)
    assert (status, err) == (0, "")
    assert "α selects" in out
    document = command_line.json(*arguments, "--quiet")
    assert document["checkpoint"] == str(command_line.folder / "end")
    assert document["epochs"] == 1
    (edge,) = document["edges"]
    assert (edge["cell"], edge["edge"]) == ("normal", "1->3")
    assert [entry["operation"] for entry in edge["operations"]] == NAMES
    for criterion in ("magnitude", "perturbation", "discretisation"):
        ranks = {entry["ranks"][criterion]: entry["operation"] for entry in edge["operations"]}
        assert sorted(ranks) == [1, 2, 3, 4, 5]
        assert f" {ranks[1]}" in out.splitlines()[-2]
    for entry in edge["operations"]:
        assert f"{entry['converged']:.2f} ({entry['ranks']['discretisation']})" in out
    assert started.names == ["tiny-analysis"]  # the JSON is that of the stored one


def test_options_reach_the_analysis(command_line, checkpoint: str, started: Started) -> None:
    options = """
        --edge normal:0->1 --edge normal:0->2 --epochs 1 --name mine --storage s
        --cpus-per-trial 0.5 --set selection.perturbation.batches=1
        --set runtime.implementation=torch --quiet
    """
    command_line.json("analyze", checkpoint, *options.split())
    (trial,) = started.trials
    assert trial.start_from == str(command_line.folder / checkpoint)
    assert (trial.analysis.edges, trial.analysis.epochs) == (["normal:0->1", "normal:0->2"], 1)
    assert (trial.selection.perturbation.batches, trial.runtime.implementation) == (1, "torch")
    assert started.names == ["mine"]
    expected = RunOptions(storage="s", concurrency=1, cpus_per_trial=0.5, quiet=True)
    assert started.options == [expected]


def test_a_finished_analysis_is_printed_again(
    command_line, checkpoint: str, started: Started
) -> None:
    """Only if everything that decides it is the same; another one gets another name."""
    arguments = ("analyze", checkpoint, "--edge", "normal:0->1", "--epochs", "1")
    first = command_line.run(*arguments)
    status, out, err = command_line.run(*arguments)
    assert (status, out) == first[:2]
    folder = command_line.folder / "runs" / "tiny-analysis"
    assert err == f"tune-nas: note: analyzed before, in {folder}\n"
    command_line.run(*arguments, "--set", "selection.perturbation.batches=1")
    assert started.names == ["tiny-analysis", "tiny-analysis-2"]
    assert "exists" in command_line.refused(*arguments, "--name", "tiny-analysis-2")

    records = Records(Storage(folder), "analysis")
    records.start(Job("analysis-00000", "analysis", "analysis", started.trials[0]))
    records.end("analysis-00000", error="ValueError: no luck")
    assert "'tiny-analysis' exists" in command_line.refused(*arguments)  # its table is incomplete


def test_ctrl_c_tells_how_to_resume(command_line, checkpoint: str, started: Started) -> None:
    started.status = "interrupted"
    arguments = ("analyze", checkpoint, "--edge", "normal:0->1", "--storage", "s")
    status, out, err = command_line.run(*arguments)
    assert (status, out) == (130, "")
    assert err.endswith(": tune-nas resume tiny-analysis --storage s\n")
    message = command_line.refused(*arguments)  # the same analysis, which has not finished
    assert message.endswith(": tune-nas resume tiny-analysis --storage s")


def test_a_failure_is_said_below_the_table(command_line, checkpoint: str, started: Started) -> None:
    started.failed = [
        TrialResult("analysis-00000", "analysis", {}, 0, "failed", error="ValueError: no luck")
    ]
    arguments = ("analyze", checkpoint, "--edge", "normal:0->1", "--epochs", "1", "--quiet")
    status, out, err = command_line.run(*arguments)
    assert status == 1
    assert out.startswith("normal 0->1: supernet accuracy")
    assert err == "tune-nas: analysis analysis-00000 (seed 0) failed: ValueError: no luck\n"


def test_a_resumed_analysis_prints_its_table(command_line, monkeypatch: pytest.MonkeyPatch) -> None:
    import tune_nas.sweep

    table = StrengthTable("/end", 3, [])
    report = Report("mine", [], [], "accuracy_at_convergence")

    def resume(name: str, options: RunOptions, **which: bool) -> SweepOutcome:
        return SweepOutcome(report, [], "runs/mine", None, "", 0, analysis=table)

    monkeypatch.setattr(tune_nas.sweep, "resume_sweep", resume, raising=False)
    assert command_line.json("resume", "mine") == table.to_dict()


def test_commands_that_need_a_search_or_its_trials_refuse_it(
    command_line, checkpoint: str, started: Started
) -> None:
    command_line.run("analyze", checkpoint, "--edge", "normal:0->1", "--epochs", "1")
    folder = command_line.folder / "runs" / "tiny-analysis"
    (folder / "analysis" / "records").mkdir(parents=True)
    (folder / "analysis" / "records" / "analysis-00000.json").write_text("{}")
    expected = "'tiny-analysis' is the analysis of a search, not a search; name the search itself"
    for command in (
        ("retrain", "tiny-analysis"),
        ("inspect", "tiny-analysis"),
        ("select", "tiny-analysis", "--selection", "magnitude"),
        ("analyze", "tiny-analysis", "--edge", "normal:0->1"),
    ):
        assert command_line.refused(*command) == expected
    assert command_line.refused("report", "tiny-analysis") == (
        "'tiny-analysis' is the analysis of a search, which compares no trials; its table is in "
        f"{folder}/analysis.json"
    )


BAD = [
    (("nothing", "--edge", "normal:0->1"), "'nothing' is neither a checkpoint nor"),
    (
        ("end", "--edge", "normal:0->1", "--set", "selection.sampled.batches=2"),
        "selection.sampled.batches is set, but has no effect on an analysis",
    ),
    (("end", "--edge", "1->3"), "must be written CELL:EDGE, e.g. 'normal:0->2' in quotes"),
    (("end", "--edge", "normal:3->1"), "the normal cell has no edge '3->1'"),
    (("end", "--edge", "odd:0->1"), "the cell is 'odd', but must be one of normal"),
    (("end",), "--edge is empty, but must name an edge, as CELL:EDGE"),
    (("end", "--edge", "normal:0->1", "--epochs", "0"), "must be >= 1"),
    (("end", "--edge", "normal:0->1", "--data-dir", "x"), "data set 'fake' does not use it"),
]


@pytest.mark.parametrize(("arguments", "says"), BAD)
def test_bad_input_gets_one_line(
    command_line, checkpoint: str, arguments: tuple[str, ...], says: str
) -> None:
    assert says in command_line.refused("analyze", *arguments)
