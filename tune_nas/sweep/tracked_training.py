"""Finding the MLflow run of a retraining run."""

from __future__ import annotations

from tune_nas.errors import StorageError
from tune_nas.sweep.runs.plan import read_state
from tune_nas.sweep.runs.storage import Storage
from tune_nas.sweep.runs.store_uri import store_uri, unless_moved
from tune_nas.sweep.trained import Trained
from tune_nas.tracking import Experiment, RunReader
from tune_nas.tracking.store import without_password
from tune_nas.tracking.tracked_run import IDENTITY, PHASE, SWEEP, TrackedRun


def tracked_training(
    trained: Trained, storage: str, mlflow: str | None
) -> tuple[Experiment, TrackedRun]:
    """Return the experiment and the MLflow run of a retraining run.

    Args:
        trained: The retraining run.
        storage: Folder or URI in which runs are stored.
        mlflow: URI of the MLflow store; None for the one that tracked the run.

    Raises:
        StorageError: If a checkpoint was named rather than a run, or the store cannot be reached or
            does not have the run.
    """
    if trained.run is None:
        raise StorageError(f"'{trained.name}' is a checkpoint, but must be a run: MLflow has runs")
    name, trial_id = trained.run
    root = Storage(storage)
    state = read_state(root.within(name))
    own = {SWEEP: name, PHASE: "sweep"}
    recorded = ""
    if state is not None:
        own[IDENTITY] = state.identity  # a shared store may have other sweeps of this name
        recorded = unless_moved(state.mlflow, root, state.identity)
    experiment = Experiment(store_uri(mlflow or recorded, root), create=False)
    for sweep in experiment.search(own):
        found = RunReader(experiment).find_trial(str(sweep.info.run_id), trial_id)
        if found is not None:
            return experiment, found
    raise StorageError(
        f"MLflow store {without_password(experiment.uri)} does not have the run '{trained.name}'; "
        f"`tune-nas resume {name}` writes runs that it lacks"
    )
