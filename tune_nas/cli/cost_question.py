"""The estimate and the question before a run that takes more than an hour."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence

import typer

from tune_nas.cli.shared_options import ExecutionOptions
from tune_nas.config import TrialConfig
from tune_nas.sweep.ray.environment import is_local
from tune_nas.sweep.run_cost import may_be_long

_MINUTES = 60.0


def ask_if_long(
    task: str,
    trials: Callable[[], Sequence[TrialConfig]],
    estimate: Callable[[], Mapping[str, object]],
    execution: ExecutionOptions,
    *,
    yes: bool,
) -> None:
    """Print the estimated cost of a run of more than an hour; on a terminal, ask whether to start.

    Steps are timed only if epochs, images and their size say that an hour is possible. Nothing is
    timed for a cluster, whose machines may differ from this one.

    Args:
        task: ``search`` or ``retrain``.
        trials: Returns the trials of the run; not called if nothing is asked.
        estimate: Times a few steps, and returns the estimate, with ``minutes``.
        execution: How it runs; a quiet run in a pipe prints nothing.
        yes: Start without an estimate or a question.

    Raises:
        typer.Exit: If the answer is no.
    """
    on_terminal = sys.stdin.isatty() and sys.stderr.isatty()
    is_silent = execution.quiet and not on_terminal
    if yes or is_silent or not is_local(execution.address) or not may_be_long(task, trials()):
        return
    found = estimate()
    minutes = found["minutes"]
    assert isinstance(minutes, float)
    if minutes <= _MINUTES:
        return
    typer.echo(f"tune-nas: note: {minutes / 60:.1f} hours: {found}", err=True)
    if on_terminal and not typer.confirm("start?", default=True, err=True):
        typer.echo("tune-nas: nothing was started", err=True)
        raise typer.Exit(1)
