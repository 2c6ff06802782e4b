"""The pages of the MLflow UI to which `tune-nas ui` links."""

from __future__ import annotations

from dataclasses import dataclass

from tune_nas.errors import StorageError
from tune_nas.shipped import nearest
from tune_nas.tracking import Experiment, RunReader
from tune_nas.tracking.shared_view import prepare_view, view_link
from tune_nas.tracking.store import is_refusal, store_error
from tune_nas.tracking.tracked_run import TrackedRun


@dataclass(frozen=True)
class UiLinks:
    """The links to show.

    Args:
        runs: The plain table of all runs.
        sweep: Name of the sweep that the view is of; empty without a view.
        view: The prepared view of the sweep.
    """

    runs: str
    sweep: str = ""
    view: str = ""

    def lines(self) -> str:
        """Return the links as text, one a line."""
        return f"runs: {self.runs}" + (f"\nsweep '{self.sweep}': {self.view}" if self.view else "")


def ui_links(uri: str, base: str, name: str | None) -> UiLinks:
    """Prepare the view of a sweep, and return the links.

    Args:
        uri: URI of the store.
        base: Address of its UI.
        name: Name of the sweep; None for the latest one.

    Raises:
        StorageError: If the store cannot be reached, or has no such sweep.
    """
    try:
        experiment = Experiment(uri, create=False)
    except StorageError:
        if name is not None:
            raise
        return UiLinks(base)  # the UI can be opened all the same
    reader = RunReader(experiment)
    sweeps = reader.sweeps() if name is None else reader.sweeps_named(name)
    if name is not None and not sweeps:
        known = sorted({run.sweep for run in reader.sweeps()})
        raise StorageError(f"there is no run '{name}' in MLflow{nearest(name, known)}")
    runs = view_link(base, experiment.experiment_id)
    for sweep in sweeps:  # newest first; one that has just been started has no trials yet
        key = _prepared(experiment, sweep)
        if key is not None:
            return UiLinks(runs, sweep.sweep, view_link(base, experiment.experiment_id, key))
    return UiLinks(runs)


def _prepared(experiment: Experiment, sweep: TrackedRun) -> str | None:
    """Return the key of a sweep's view; None if it has no trials, or the store refuses the view."""
    try:
        return prepare_view(experiment, sweep)
    except Exception as error:  # MLflow's stores raise different errors
        if is_refusal(error):
            return None
        raise store_error("be used", experiment.uri, error) from error
