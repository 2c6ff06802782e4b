"""The work of `tune-nas stop`."""

from __future__ import annotations

from dataclasses import asdict

from tune_nas.cli.output import Format, echo, print_json
from tune_nas.sweep.manage.stopping import stop_run, stop_trial
from tune_nas.sweep.options import storage_option
from tune_nas.sweep.runs.lookup import existing_run
from tune_nas.text import printable

_WAIT = 60.0  # seconds


def stop(run: str, trial: str | None, storage: str, output: Format) -> None:
    """Stop a run, or one of its trials.

    Raises:
        StorageError: If the run or trial does not exist, or it is not running.
    """
    found = existing_run(run, storage, trial=True)
    trial_id = trial or found.trial_id
    if trial_id:
        answer = stop_trial(storage, found.name, trial_id)
        line = f"{found.name}/{trial_id} will end as stopped early, after its next epoch"
    else:
        answer = stop_run(storage, found.name, wait=_WAIT)
        done = "has stopped" if answer.done else "was asked to stop, and has not yet"
        resume = f"tune-nas resume {found.name}{storage_option(storage)}"
        line = f"'{found.name}' {done}; resume with: {resume}"
    if output is Format.JSON:
        print_json(asdict(answer))
    else:
        echo(printable(line))
