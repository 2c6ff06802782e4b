"""The runs of a sweep in MLflow; each epoch is logged once."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tune_nas import figures
from tune_nas.paths import GENOTYPE
from tune_nas.tracking import mlflow_names as mlflow
from tune_nas.tracking.data_inputs import data_input
from tune_nas.tracking.epoch_metrics import EPOCH, covering_metrics, stored_metrics
from tune_nas.tracking.experiment import EXPERIMENT, Experiment
from tune_nas.tracking.known_trials import KnownTrials
from tune_nas.tracking.names import (
    as_text,
    entity_names,
    flatten,
    parameter_value,
    plain,
    tag_value,
)
from tune_nas.tracking.source_tags import source_tags
from tune_nas.tracking.tracked_run import IDENTITY, PARENT, PHASE, SWEEP, SWEEP_RUN, TRIAL
from tune_nas.tracking.tracker import Tracker
from tune_nas.yaml_text import dump_yaml

if TYPE_CHECKING:
    from tune_nas.spaces import Genotype, Space

STATES = ("FINISHED", "FAILED", "KILLED")
_STATUS_OF = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "interrupted"}
_PARAMETERS_PER_CALL = 100


class MlflowTracker(Tracker):
    """Writes the runs of sweeps to MLflow; see `Tracker` for its methods.

    Args:
        store: MLflow tracking URI, created if it is a sqlite file that does not exist; or an open
            experiment.
        experiment: Name of the experiment, if a URI is given.
        artifact_location: Location of the files of a new experiment, if a URI is given.

    Raises:
        StorageError: If the store cannot be reached or written; raised within seconds.
    """

    def __init__(
        self,
        store: str | Experiment,
        *,
        experiment: str = EXPERIMENT,
        artifact_location: str | None = None,
    ) -> None:
        if isinstance(store, str):
            store = Experiment(store, name=experiment, artifact_location=artifact_location)
        self._experiment = store
        self._client = store.client
        self._logged: dict[str, set[int]] = {}
        self._sweeps: dict[str, str] = {}
        self._trials = KnownTrials(store)
        self._source = source_tags()

    def sweep_run(
        self,
        name: str,
        parameters: Mapping[str, object],
        tags: Mapping[str, str] | None = None,
        *,
        identity: str | None = None,
        data: Mapping[str, object] | None = None,
    ) -> str:
        """Return the id of the sweep's parent run: found and reopened, or created."""
        own = {SWEEP: name, PHASE: "sweep"} | ({IDENTITY: identity} if identity else {})
        run_id = self._open(own, name, parameters, tags or {}, data)
        self._sweeps[run_id] = name
        return run_id

    def trial_run(
        self,
        sweep_run_id: str,
        trial_id: str,
        *,
        phase: str,
        parameters: Mapping[str, object],
        tags: Mapping[str, str] | None = None,
        parent: str | None = None,
        name: str | None = None,
    ) -> str:
        """Return the id of a trial's run: found and reopened, or created."""
        if sweep_run_id not in self._sweeps:
            self._sweeps[sweep_run_id] = self._client.get_run(sweep_run_id).data.tags[SWEEP]
        sweep = self._sweeps[sweep_run_id]
        own = {SWEEP_RUN: sweep_run_id, TRIAL: trial_id}
        fixed = {SWEEP: sweep, PHASE: phase, PARENT: parent or sweep_run_id}
        name, data = name or f"{phase} {trial_id}", parameters.get("data")
        section = data if isinstance(data, Mapping) else None
        known = self._trials.add(sweep_run_id, trial_id)
        return self._open(own, name, parameters, {**(tags or {}), **fixed}, section, exists=known)

    def logged_epochs(self, run_id: str, history: Sequence[Mapping[str, float]]) -> set[int]:
        """Return the epochs of a run that the store has; requested once, then cached."""
        if run_id in self._logged:
            return self._logged[run_id]
        names = list(covering_metrics(history))
        stored = (self._client.get_metric_history(run_id, name) for name in names)
        steps = {int(entry.step) for entries in stored for entry in entries}
        if names:
            self._logged[run_id] = steps
        return steps

    def log_epoch(
        self, run_id: str, step: int, metrics: Mapping[str, float], time_ms: int | None = None
    ) -> bool:
        """Log an epoch's metrics in one call, unless the store has that epoch already."""
        logged = self.logged_epochs(run_id, [{EPOCH: step, **metrics}])
        if step in logged:
            return False
        at = round(time.time() * 1000) if time_ms is None else time_ms
        batch = [
            mlflow.Metric(key, value, at, step) for key, value in stored_metrics(metrics).items()
        ]
        if batch:
            self._client.log_batch(run_id, metrics=batch)
        logged.add(step)
        return True

    def log_genotype(self, run_id: str, genotype: Genotype, space: Space) -> None:
        """Log a genotype: YAML, the tag in the run table, and ``cells.svg``."""
        self.set_tags(run_id, {"genotype": str(genotype)})
        self.log_artifact(run_id, genotype.to_yaml().encode(), GENOTYPE)
        self.log_artifact(run_id, figures.cells_svg(genotype, space), "cells.svg")

    def log_alphas(self, run_id: str, csv: Path | bytes) -> None:
        """Log the α history: the unchanged table, and a plot of it."""
        self.log_artifact(run_id, csv, "alphas.csv")
        self.log_artifact(run_id, figures.render(figures.plot_alphas(csv), "png"), "alphas.png")

    def log_artifact(self, run_id: str, content: Path | bytes, name: str) -> None:
        """Log a file or bytes under a name, which may contain folders (``cells/normal.svg``)."""
        self._experiment.artifacts.log(run_id, content, name)

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags of a run, in one call."""
        new = [mlflow.RunTag(key, tag_value(value)) for key, value in tags.items()]
        if new:
            self._client.log_batch(run_id, tags=new)

    def finish(
        self,
        run_id: str,
        status: str = "FINISHED",
        error: str | None = None,
        *,
        outcome: str | None = None,
        reason: str = "",
    ) -> None:
        """Close a run.

        Raises:
            ValueError: If the status is not FINISHED, FAILED or KILLED.
        """
        if status not in STATES:
            raise ValueError(f"status is '{status}', but must be one of {', '.join(STATES)}")
        tags = {"status": outcome or _STATUS_OF[status], "reason": reason, "error": error or ""}
        self.set_tags(run_id, {key: value for key, value in tags.items() if value})
        self._client.set_terminated(run_id, status)
        self._logged.pop(run_id, None)
        self._experiment.artifacts.forget(run_id)

    def forget(self) -> None:
        """Clear the cache of the store: after a failed request it may be wrong."""
        self._logged.clear()
        self._trials.forget()
        self._experiment.artifacts.forget()

    def _open(
        self,
        own: Mapping[str, str],
        name: str,
        parameters: Mapping[str, object],
        tags: Mapping[str, str],
        data: Mapping[str, object] | None,
        *,
        exists: bool = True,
    ) -> str:
        """Return the id of a run with all parameters and its data set.

        MLflow refuses to change a parameter, and a kill may leave some out: the missing ones are
        logged.
        """
        run = self._experiment.open_run(own, name, {**self._source, **tags}, new=not exists)
        run_id = str(run.info.run_id)
        self._experiment.artifacts.locate(run_id, run.info.artifact_uri)
        if not run.data.metrics:
            self._logged[run_id] = set()  # saves the request for its epochs
        flat = flatten(parameters)
        new = [
            mlflow.Param(name, parameter_value(as_text(flat[key])))
            for key, name in entity_names(flat).items()
            if name not in run.data.params
        ]
        if new:
            content = dump_yaml(plain(parameters))
            self.log_artifact(run_id, content.encode(), "parameters.yaml")
        for start in range(0, len(new), _PARAMETERS_PER_CALL):
            self._client.log_batch(run_id, params=new[start : start + _PARAMETERS_PER_CALL])
        if data is not None and not (run.inputs and run.inputs.dataset_inputs):
            self._client.log_inputs(run_id, datasets=[data_input(data)])
        return run_id
