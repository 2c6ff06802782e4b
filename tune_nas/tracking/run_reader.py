"""Reading the runs of an MLflow store."""

from __future__ import annotations

from tune_nas.errors import StorageError
from tune_nas.tracking import mlflow_names as mlflow
from tune_nas.tracking.experiment import EXPERIMENT, Experiment
from tune_nas.tracking.names import present_name
from tune_nas.tracking.store import without_password
from tune_nas.tracking.tracked_run import PHASE, SWEEP, SWEEP_RUN, TRIAL, TrackedRun, tracked_run


class RunReader:
    """Reads the runs of an experiment.

    Args:
        store: URI of a store that exists, or an open experiment.
        experiment: Name of the experiment, if a URI is given.

    Raises:
        StorageError: If the store does not exist or cannot be reached; raised within seconds.
    """

    def __init__(self, store: str | Experiment, *, experiment: str = EXPERIMENT) -> None:
        if isinstance(store, str):
            store = Experiment(store, name=experiment, create=False)
        self._experiment = store

    def list_runs(self) -> list[TrackedRun]:
        """Return every run of the experiment, newest first."""
        return [tracked_run(run) for run in self._experiment.iterate({})]

    def sweeps(self) -> list[TrackedRun]:
        """Return the sweeps' own runs, newest first."""
        return [tracked_run(run) for run in self._experiment.search({PHASE: "sweep"})]

    def sweeps_named(self, name: str) -> list[TrackedRun]:
        """Return the own runs of the sweeps of a name, also of earlier versions, newest first."""
        found = [tracked_run(run) for run in self._experiment.search({SWEEP: name})]
        return [run for run in found if run.phase == "sweep"]

    def read_run(self, run_id: str) -> TrackedRun:
        """Return the run with this id.

        Raises:
            mlflow.exceptions.MlflowException: If the store has no such run.
        """
        return tracked_run(self._experiment.client.get_run(run_id))

    def trials(self, sweep_run_id: str) -> list[TrackedRun]:
        """Return the trials of a sweep, oldest first."""
        found = self._experiment.iterate({SWEEP_RUN: sweep_run_id})
        return [tracked_run(run) for run in found][::-1]

    def find_trial(self, sweep_run_id: str, trial_id: str) -> TrackedRun | None:
        """Return the run of a trial of the sweep, or None if there is none."""
        found = self._experiment.search({SWEEP_RUN: sweep_run_id, TRIAL: trial_id})
        return tracked_run(found[0]) if found else None

    def run_of(self, sweep: str, trial_id: str) -> str | None:
        """Return the id of the newest run of a trial, by the name of its sweep; None without."""
        found = self._experiment.search({SWEEP: sweep, TRIAL: trial_id})
        return str(found[0].info.run_id) if found else None

    def find_run(self, text: str) -> TrackedRun:
        """Return the run with this id, trial id or name, also as an earlier version named it.

        Raises:
            StorageError: If no run has this name, or several have that name (lists their ids).
        """
        runs = self.list_runs()
        matches = [run for run in runs if text in (run.run_id, run.trial_id, run.name)]
        if not matches and (own := present_name(text)):
            matches = [run for run in runs if run.name == own]
        if not matches:
            store = without_password(self._experiment.uri)
            raise StorageError(f"MLflow store {store} has no run with id or name '{text}'")
        if len(matches) > 1:
            ids = ", ".join(run.run_id for run in matches[:4])
            raise StorageError(f"{len(matches)} runs are called '{text}'; give an id: {ids}")
        return matches[0]

    def has_run(self, run_id: str) -> bool:
        """Return whether the store has a run that is not deleted."""
        try:
            run = self._experiment.client.get_run(run_id)
        except mlflow.MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise
        return bool(run.info.lifecycle_stage == "active")

    def started_ms(self, run_id: str) -> int:
        """Return the start time of a run, in milliseconds since 1970."""
        return int(self._experiment.client.get_run(run_id).info.start_time)

    def read_artifact(self, run_id: str, name: str) -> bytes:
        """Return the content of an artifact.

        Raises:
            StorageError: If the run has no such artifact.
        """
        return self._experiment.artifacts.read(run_id, name)
