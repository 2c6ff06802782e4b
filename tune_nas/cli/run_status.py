"""The work of `tune-nas status` and `tune-nas runs --sweep`: a run and its trials."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from tune_nas.cli.output import Format, echo, print_json
from tune_nas.cli.run_table import best_text, check_choice
from tune_nas.cli.tables import print_table, table_of
from tune_nas.report.labels import RETRAIN, axis_label, value_label
from tune_nas.status import Status
from tune_nas.sweep.manage.run_progress import RunProgress, run_progress
from tune_nas.sweep.manage.trial_states import DAMAGED, TrialState
from tune_nas.sweep.runs.drivers import LOST
from tune_nas.sweep.runs.lookup import existing_run
from tune_nas.sweep.runs.storage import Storage
from tune_nas.text import brief, duration_text, plural, printable

_ROWS = 20  # of the table: running and failed trials first
_LOCAL_SECONDS, _REMOTE_SECONDS = 2.0, 15.0  # between two looks
_LONGEST_REASON = 40  # characters
_TRIAL_STATUSES = (*(str(status) for status in Status), LOST, DAMAGED)

Row = dict[str, str]


def print_status(run: str, storage: str, output: Format) -> None:
    """Print the progress of a run and of its trials.

    Raises:
        StorageError: If the run does not exist, or it is damaged.
    """
    progress = run_progress(storage, existing_run(run, storage).name)
    if output is Format.JSON:
        print_json(_content(progress))
        return
    for line in _lines(progress):
        echo(line)
    rows = _rows(progress)
    if rows:
        print_table(list(rows[0]), rows)
    if len(progress.trials) > len(rows):
        n_more = len(progress.trials) - len(rows)
        echo(f"… and {n_more} more; all of them: tune-nas runs --sweep {progress.name}")


def watch(run: str, storage: str) -> None:
    """Show the progress of a run until it ends, or until Ctrl-C, which does not end the run.

    On a terminal, the table is redrawn; otherwise a line is printed whenever something changes.

    Raises:
        StorageError: If the run does not exist, or it is damaged.
    """
    name = existing_run(run, storage).name
    pause = _LOCAL_SECONDS if Storage(storage).local is not None else _REMOTE_SECONDS
    try:
        if sys.stdout.isatty():
            _watch_live(storage, name, pause)
        else:
            _watch_lines(storage, name, pause)
    except KeyboardInterrupt:
        return


def _watch_live(storage: str, name: str, pause: float) -> None:
    with Live(console=Console(highlight=False, markup=False), refresh_per_second=2) as live:
        for progress in _until_end(storage, name, pause):
            rows = _rows(progress)
            texts = [Text(printable(line)) for line in _lines(progress)]
            live.update(Group(*texts, *([table_of(list(rows[0]), rows)] if rows else [])))


def _watch_lines(storage: str, name: str, pause: float) -> None:
    last = ""
    for progress in _until_end(storage, name, pause):
        line = _counts(progress) + _best(progress)
        if line != last:
            echo(f"{line}{_left(progress)}")
            sys.stdout.flush()
            last = line


def _until_end(storage: str, name: str, pause: float) -> Iterator[RunProgress]:
    """Yield the progress of a run until the run ends."""
    while True:
        progress = run_progress(storage, name)
        yield progress
        if not progress.is_running:
            return
        time.sleep(pause)


def print_trials(run: str, storage: str, *, status: str | None, output: Format) -> None:
    """Print one line for each trial of a run.

    Args:
        run: The run.
        storage: Folder or URI in which runs are stored.
        status: Only trials of this status; None for all.
        output: Output format.

    Raises:
        ConfigError: If the status does not exist.
        StorageError: If the run does not exist, or it is damaged.
    """
    check_choice("--status", status, _TRIAL_STATUSES)
    progress = run_progress(storage, existing_run(run, storage).name)
    trials = [t for t in progress.trials if status in (None, _status(progress, t))]
    if output is Format.JSON:
        print_json([_trial_content(progress, trial) for trial in trials])
    elif trials:
        rows = [_row(progress, trial) for trial in trials]
        print_table(list(rows[0]), rows)
    else:
        echo(f"no trials of '{progress.name}'{'' if status is None else f' are {status}'}")


def _lines(progress: RunProgress) -> list[str]:
    elapsed = (
        f"elapsed: {duration_text(max(0, progress.elapsed))}{_left(progress)}{_best(progress)}"
    )
    reason = [f"{progress.status}: {progress.reason}"] if progress.reason else []
    return [_counts(progress), elapsed, *reason, f"log: {progress.log}"]


def _counts(progress: RunProgress) -> str:
    """Return the phase and the numbers of its trials."""
    own = progress.of_phase
    total = len(own) if progress.total is None else progress.total
    ended = sum(trial.is_done for trial in own)
    running = sum(trial.is_running for trial in own)
    failed = sum(trial.failed for trial in own)
    words = [f"{ended} of {plural(total, 'trial')} done"]
    if running:
        words.append(f"{running} {'running' if progress.is_running else 'lost'}")
    if failed:
        words.append(f"{failed} failed")
    phase = f"phase {progress.number} of {progress.phases} ({progress.phase})"
    return f"{progress.name}: {progress.kind}, {progress.status}; {phase}: {', '.join(words)}"


def _left(progress: RunProgress) -> str:
    if progress.left is None:
        return ""
    of_phase = " of this phase" if progress.number < progress.phases else ""
    return f"; about {duration_text(max(0, progress.left))}{of_phase} left"


def _best(progress: RunProgress) -> str:
    if progress.best is None:
        return ""
    words = "best so far" if progress.is_running else "best"
    return f"; {words}: {best_text(progress.best)} ({progress.best.trial_id})"


def _rows(progress: RunProgress) -> list[Row]:
    """Return the rows of the most interesting trials: running, then failed, then the newest."""
    order = sorted(
        progress.trials,
        key=lambda t: (not t.is_running, not t.failed, -(t.times[-1] if t.times else 0)),
    )
    shown = {id(trial) for trial in order[:_ROWS]}
    return [_row(progress, trial) for trial in progress.trials if id(trial) in shown]


def _row(progress: RunProgress, trial: TrialState) -> Row:
    return {
        "trial": trial.trial_id,
        "values": brief(_label(trial.parameters.items(), trial.seed), _LONGEST_REASON),
        "status": _status(progress, trial),
        "epoch": f"{trial.epoch}" + ("" if trial.epochs is None else f"/{trial.epochs}"),
        "metric": _value(progress, trial),
        "reason": brief(printable(trial.reason), _LONGEST_REASON),
    }


def _label(values: Iterable[tuple[str, object]], seed: int) -> str:
    parts = [f"{axis_label(key)}={value_label(value)}" for key, value in values]
    return printable(" ".join([*parts, f"seed={seed}"]))


def _status(progress: RunProgress, trial: TrialState) -> str:
    return LOST if trial.is_running and not progress.is_running else trial.status


def _metric(progress: RunProgress, trial: TrialState) -> str:
    """Return the metric of a trial: of a retraining run, its test accuracy."""
    if trial.phase == "retrain":
        return "test_accuracy"
    return "valid_accuracy" if progress.metric == RETRAIN else progress.metric


def _value(progress: RunProgress, trial: TrialState) -> str:
    metric = _metric(progress, trial)
    value = trial.metrics.get(metric)
    return "" if value is None else f"{metric} {value:.2f}"


def _content(progress: RunProgress) -> dict[str, object]:
    content = asdict(progress)
    content["trials"] = [_trial_content(progress, trial) for trial in progress.trials]
    return content


def _trial_content(progress: RunProgress, trial: TrialState) -> dict[str, object]:
    content = asdict(trial)
    times: Sequence[float] = content.pop("times")
    return {
        **content,
        "status": _status(progress, trial),
        "last_result": times[-1] if times else None,
    }
