"""Removing and renaming the runs of a sweep in an MLflow store."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from tune_nas.errors import StorageError
from tune_nas.tracking.experiment import Experiment
from tune_nas.tracking.names import run_name, tag_value
from tune_nas.tracking.store import store_error
from tune_nas.tracking.tracked_run import IDENTITY, SWEEP, SWEEP_RUN

if TYPE_CHECKING:
    from mlflow.entities import Run

_Change: TypeAlias = "Callable[[Experiment, Run], int]"


def remove_runs(uri: str, sweep: str, identity: str) -> int:
    """Delete the runs of a sweep and of its trials; `mlflow gc` frees their files later.

    Args:
        uri: URI of a store that exists.
        sweep: Name of the sweep.
        identity: Distinguishes it from others of its name.

    Returns:
        Number of deleted runs.

    Raises:
        StorageError: If the store cannot be used.
    """

    def remove(experiment: Experiment, run: Run) -> int:
        trials = experiment.search({SWEEP_RUN: run.info.run_id})
        for each in (*trials, run):  # the sweep's run last: by it, the others are found
            experiment.client.delete_run(str(each.info.run_id))
        return len(trials) + 1

    return _for_each(uri, sweep, identity, remove)


def rename_runs(uri: str, sweep: str, identity: str, name: str) -> int:
    """Rename the run of a sweep, and the sweep in the tags of its trials.

    Args:
        uri: URI of a store that exists.
        sweep: Name of the sweep.
        identity: Distinguishes it from others of its name.
        name: The new name.

    Returns:
        Number of changed runs; 0 if they have been renamed already.

    Raises:
        StorageError: If the store cannot be used.
    """

    def rename(experiment: Experiment, run: Run) -> int:
        trials = experiment.search({SWEEP_RUN: run.info.run_id})
        experiment.client.update_run(str(run.info.run_id), name=run_name(name))
        for each in (*trials, run):  # the sweep's run last: by its tag, the others are found
            experiment.client.set_tag(str(each.info.run_id), SWEEP, tag_value(name))
        return len(trials) + 1

    return _for_each(uri, sweep, identity, rename)


def _for_each(uri: str, sweep: str, identity: str, change: _Change) -> int:
    """Apply a change to the run of a sweep; return the number of changed runs."""
    experiment = Experiment(uri, create=False)
    try:
        runs = experiment.search({SWEEP: sweep, IDENTITY: identity})
        return sum(change(experiment, run) for run in runs)
    except StorageError:
        raise
    except Exception as error:  # MLflow's stores raise different errors
        raise store_error("be changed", uri, error) from error
