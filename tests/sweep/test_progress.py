"""Progress on a terminal and in a pipe while trials run."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tune_nas.config import TrialConfig
from tune_nas.sweep.jobs import Job
from tune_nas.sweep.phase_progress import PhaseProgress
from tune_nas.sweep.progress_display import ProgressDisplay
from tune_nas.sweep.ray.callbacks import Recorder
from tune_nas.sweep.ray.progress import ProgressCallback
from tune_nas.sweep.result_recorder import ResultRecorder
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.storage import Storage


class Trial:
    trial_id = "search-00000"


@pytest.fixture
def records(tmp_path: Path) -> Records:
    records = Records(Storage(tmp_path), "search")
    trial = TrialConfig(seed=1, schedule={"epochs": 4})  # type: ignore[arg-type]
    records.start(Job("search-00000", "search", "search", trial, {"update.lambda": 0.1}))
    return records


def result(epoch: int, **more: Any) -> dict[str, Any]:
    return {"epoch": epoch, "valid_accuracy": 12.345, "genotype/skips": 3, "pid": 7, **more}


def test_the_table_shows_epochs_metrics_and_time_left(records: Records) -> None:
    progress = PhaseProgress(records, 2, "valid_accuracy")
    records.add("search-00000", result(1))
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(progress.table())
    text = console.export_text()
    for part in ("search: 2 trials", "λ=0.1", "1/4", "12.35", "3", "running", "left"):
        assert part in text, part


def test_a_pipe_gets_plain_lines(records: Records, capsys: pytest.CaptureFixture[str]) -> None:
    progress = ProgressCallback(
        ProgressDisplay(PhaseProgress(records, 1, "valid_accuracy"), live=False)
    )
    records.add("search-00000", result(4))
    records.end("search-00000")
    progress.on_trial_complete(0, [], Trial())
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "search: 1 trial"
    assert lines[1].startswith("search 1/1: λ=0.1")
    assert lines[1].endswith("finished, valid_accuracy 12.35")
    assert "\x1b" not in "".join(lines)


def test_a_live_display_does_not_reach_rays_pickles(records: Records) -> None:
    progress = ProgressCallback(
        ProgressDisplay(PhaseProgress(records, 1, "valid_accuracy"), live=True)
    )
    progress.on_step_end(0, [])
    try:
        assert pickle.loads(pickle.dumps(progress)).__dict__ == {}
    finally:
        progress._display.close()


def test_a_stop_is_recorded_with_its_reason_and_a_replayed_epoch_is_not(records: Records) -> None:
    recorder = Recorder(ResultRecorder(records, "valid_accuracy"))
    recorder.on_trial_result(0, [], Trial(), result(1, done=False))
    recorder.on_trial_result(0, [], Trial(), result(1, done=False))
    recorder.on_trial_result(0, [], Trial(), result(2, done=True, genotype="a"))
    record = records["search-00000"]
    assert [metrics["epoch"] for metrics in record.history] == [1, 2]
    assert "pid" not in record.history[0]
    assert (record.status, record.genotype) == ("stopping", "a")
    assert "ASHA after epoch 2 of 4" in record.reason
    assert records.end("search-00000").status == "stopped early"


class Clock:
    """A clock that is set by hand, in seconds."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_best_the_phase_and_the_elapsed_time(records: Records) -> None:
    clock = Clock()
    progress = PhaseProgress(records, 2, "valid_accuracy", place=(2, 3), clock=clock)
    second = TrialConfig(seed=2, schedule={"epochs": 4})  # type: ignore[arg-type]
    records.start(Job("search-00001", "search", "search", second, {"update.lambda": 3}))
    records.add("search-00000", result(1))
    records.add("search-00001", {**result(1), "valid_accuracy": 80.0})
    records.add("search-00001", {**result(2), "valid_accuracy": float("nan")})
    clock.now = 3 * 60.0
    # 3 of 8 epochs in 3 minutes
    end = "best valid_accuracy 12.35 (λ=0.1 seed=1); 3 min 00 s elapsed; 5 min 00 s left"
    assert progress.heading() == "search (phase 2 of 3): 2 trials"
    assert progress.running_line() == f"search 0/2: λ=0.1 seed=1 1/4, λ=3 seed=2 2/4; {end}"
    assert progress.table().title == f"search (phase 2 of 3): 2 trials; 0 done; {end}"
    records.add("search-00001", {**result(3), "valid_accuracy": 7.0})
    least = PhaseProgress(records, 2, "valid_accuracy", mode="min", clock=clock)
    assert "best valid_accuracy 7.00 (λ=3 seed=2)" in least.running_line()


def test_where_trials_resume_after_a_signal(records: Records) -> None:
    progress = PhaseProgress(records, 2, "valid_accuracy")
    second = TrialConfig(seed=2, schedule={"epochs": 4})  # type: ignore[arg-type]
    records.start(Job("search-00001", "search", "search", second))
    records.add("search-00000", result(3))
    assert progress.stopping_line() == (
        "stopping: 2 trials, to resume from the last checkpoints: after epoch 3, at the start"
    )


def test_a_pipe_gets_a_line_after_minutes_without_one(
    records: Records, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock()
    progress = PhaseProgress(records, 1, "valid_accuracy", clock=clock)
    display = ProgressDisplay(progress, live=False, clock=clock)
    for clock.now in (0.0, 299.0, 300.0, 301.0, 599.0, 601.0):
        display.refresh()
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "search: 1 trial",
        "search 0/1: λ=0.1 seed=1 0/4; 5 min 00 s elapsed; … left",
        "search 0/1: λ=0.1 seed=1 0/4; 10 min 01 s elapsed; … left",
    ]
