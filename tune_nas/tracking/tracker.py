"""The runs of a sweep in MLflow: found by their tags, never duplicated, each epoch logged once."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tune_nas.errors import StorageError
from tune_nas.figures.style import render
from tune_nas.paths import GENOTYPE
from tune_nas.tracking.artifacts import Artifacts
from tune_nas.tracking.names import (
    as_text,
    entity_names,
    flatten,
    parameter_value,
    plain,
    run_name,
    tag_value,
)
from tune_nas.tracking.store import connect, without_password
from tune_nas.tracking.tracked_run import (
    EARLIER_PHASE,
    IDENTITY,
    PARENT,
    PHASE,
    SWEEP,
    SWEEP_RUN,
    TRIAL,
    TrackedRun,
    tracked_run,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from tune_nas.spaces import Genotype, Space

STATES = ("FINISHED", "FAILED", "KILLED")
_STATUS_OF = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "interrupted"}
_PARAMETERS_PER_CALL = 100


@dataclass(frozen=True)
class TrackerSettings:
    """The arguments of a `Tracker` as plain text, so that they can be pickled."""

    uri: str
    experiment: str = "tune-nas"
    artifact_location: str | None = None

    def open(self) -> Tracker:
        """Return a tracker of the store."""
        return Tracker(
            self.uri, experiment=self.experiment, artifact_location=self.artifact_location
        )


class Tracker:
    """Writes the runs of sweeps. Used by the driver only: trials never write to the store.

    Args:
        uri: MLflow tracking URI; ``sqlite:///FILE`` is created, its folder included.
        experiment: MLflow experiment of all runs.
        artifact_location: Location of the files of a new experiment; by default the folder
            ``mlartifacts`` beside a sqlite file.
        create: False to only read a store that exists.

    Raises:
        StorageError: If the store cannot be reached or written; raised within seconds.
    """

    def __init__(
        self,
        uri: str,
        *,
        experiment: str = "tune-nas",
        artifact_location: str | None = None,
        create: bool = True,
    ) -> None:
        self.uri = uri
        self._client: MlflowClient
        self._client, self.experiment_id = connect(
            uri, experiment=experiment, artifact_location=artifact_location, create=create
        )
        self._artifacts = Artifacts(self._client, uri)
        self._logged_steps: dict[str, set[int]] = {}

    def sweep_run(
        self,
        name: str,
        parameters: Mapping[str, Any],
        tags: Mapping[str, str] | None = None,
        *,
        identity: str | None = None,
    ) -> str:
        """Return the id of the sweep's parent run: found and reopened, or created.

        Args:
            name: Name of the sweep.
            parameters: Its settings, nested mappings allowed.
            tags: Further tags.
            identity: Any text stored with the sweep. It distinguishes two sweeps of the same name
                in a shared store; None finds by name alone.
        """
        own = {SWEEP: name, PHASE: "sweep"} | ({IDENTITY: identity} if identity else {})
        return self._open_run(own, name, parameters, tags or {})

    def trial_run(
        self,
        sweep_run_id: str,
        trial_id: str,
        *,
        phase: str,
        parameters: Mapping[str, Any],
        tags: Mapping[str, str] | None = None,
        parent: str | None = None,
        name: str | None = None,
    ) -> str:
        """Return the id of a trial's run: found and reopened, or created.

        Args:
            sweep_run_id: The sweep's run.
            trial_id: Ray's id of the trial, kept across a resume.
            phase: ``search``, ``repeat`` or ``retrain``.
            parameters: All settings of the trial, nested mappings allowed. They are logged once, as
                dotted keys with values as text, and as ``parameters.yaml``.
            tags: Further tags.
            parent: Run under which it is nested (the search, for a retraining run); None for the
                sweep's.
            name: Name in the run table; None for phase and trial id.
        """
        sweep = self._client.get_run(sweep_run_id).data.tags[SWEEP]
        own = {SWEEP_RUN: sweep_run_id, TRIAL: trial_id}
        fixed = {SWEEP: sweep, PHASE: phase, PARENT: parent or sweep_run_id}
        return self._open_run(
            own, name or f"{phase} {trial_id}", parameters, {**(tags or {}), **fixed}
        )

    def find_trial(self, sweep_run_id: str, trial_id: str) -> TrackedRun | None:
        """Return the run of a trial of the sweep, or None if there is none."""
        found = self._search({SWEEP_RUN: sweep_run_id, TRIAL: trial_id})
        return tracked_run(found[0]) if found else None

    def log_epoch(
        self, run_id: str, step: int, metrics: Mapping[str, float], time_ms: int | None = None
    ) -> bool:
        """Log an epoch's metrics in one call, unless the store has that epoch already.

        Args:
            run_id: The run.
            step: The epoch.
            metrics: Its metrics; a name that MLflow does not accept is made legal.
            time_ms: When it ended, in milliseconds since 1970. Pass the same time whenever the
                epoch is logged again: MLflow's database then stores it once, even if an earlier
                request arrives late. None for the current time.

        Returns:
            Whether it was logged; False if the store has it.
        """
        steps = self.steps(run_id)
        if step in steps:
            return False
        from mlflow.entities import Metric

        names = entity_names(metrics)
        values = {**{names[key]: value for key, value in metrics.items()}, "epoch": float(step)}
        at = round(time.time() * 1000) if time_ms is None else time_ms
        batch = [Metric(key, float(value), at, step) for key, value in values.items()]
        self._client.log_batch(run_id, metrics=batch)
        steps.add(step)
        return True

    def steps(self, run_id: str) -> set[int]:
        """Return the epochs of a run in the store; requested once, then cached."""
        if run_id not in self._logged_steps:
            history = self._client.get_metric_history(run_id, "epoch")
            self._logged_steps[run_id] = {entry.step for entry in history}
        return self._logged_steps[run_id]

    def forget(self) -> None:
        """Clear the cache of the store: after a failed request it may be wrong."""
        self._logged_steps.clear()
        self._artifacts.forget()

    def started_ms(self, run_id: str) -> int:
        """Return the start time of a run, in milliseconds since 1970."""
        return int(self._client.get_run(run_id).info.start_time)

    def log_genotype(self, run_id: str, genotype: Genotype, space: Space) -> None:
        """Log a genotype: a YAML artifact, the tag in the run table, and drawings of its cells.

        The drawings are ``cells.svg`` and ``cells.png``.
        """
        from tune_nas.figures.cell_drawing import draw_cells

        self.set_tags(run_id, {"genotype": str(genotype)})
        self.log_artifact(run_id, genotype.to_yaml().encode(), GENOTYPE)
        self.log_figure(run_id, draw_cells(genotype, space), "cells")

    def log_alphas(self, run_id: str, csv: Path | bytes) -> None:
        """Log the α history: the unchanged table, and a plot of it."""
        from tune_nas.figures.alphas import plot_alphas

        self.log_artifact(run_id, csv, "alphas.csv")
        self.log_artifact(run_id, render(plot_alphas(csv), "png"), "alphas.png")

    def log_figure(self, run_id: str, figure: Figure, name: str) -> None:
        """Log a figure as ``NAME.svg`` and ``NAME.png``."""
        for kind in ("svg", "png"):
            self.log_artifact(run_id, render(figure, kind), f"{name}.{kind}")

    def log_artifact(self, run_id: str, content: Path | bytes, name: str) -> None:
        """Log a file or bytes under a name, which may contain folders (``cells/normal.svg``)."""
        self._artifacts.log(run_id, content, name)

    def read_artifact(self, run_id: str, name: str) -> bytes:
        """Return the content of an artifact.

        Raises:
            StorageError: If the run has no such artifact.
        """
        return self._artifacts.read(run_id, name)

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags of a run."""
        for key, value in tags.items():
            self._client.set_tag(run_id, key, tag_value(value))

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

        Args:
            run_id: The run.
            status: FINISHED, FAILED or KILLED.
            error: The error in one line; becomes the tag ``error``.
            outcome: The tag ``status``; None for finished, failed or interrupted.
            reason: Why it ended so; becomes the tag ``reason``.

        Raises:
            ValueError: If the status is not one of the three.
        """
        if status not in STATES:
            raise ValueError(f"status is '{status}', but must be one of {', '.join(STATES)}")
        tags = {"status": outcome or _STATUS_OF[status], "reason": reason, "error": error or ""}
        self.set_tags(run_id, {key: value for key, value in tags.items() if value})
        self._client.set_terminated(run_id, status)

    def runs(self, sweep_run_id: str) -> list[TrackedRun]:
        """Return the trials of a sweep, oldest first."""
        return [tracked_run(run) for run in reversed(self._search({SWEEP_RUN: sweep_run_id}))]

    def delete(self, run_id: str) -> None:
        """Delete a run, e.g. a duplicate that was created by a repeated request."""
        self._client.delete_run(run_id)

    def has_run(self, run_id: str) -> bool:
        """Return whether the store has a run that is not deleted."""
        from mlflow.exceptions import MlflowException

        try:
            return bool(self._client.get_run(run_id).info.lifecycle_stage == "active")
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise

    def list_runs(self) -> list[TrackedRun]:
        """Return every run of the experiment, newest first."""
        return [tracked_run(run) for run in self._search({})]

    def find_run(self, text: str) -> TrackedRun:
        """Return the run with this id, trial id or name.

        Raises:
            StorageError: If no run has this name, or several have that name (lists their ids).
        """
        matches = [run for run in self.list_runs() if text in (run.run_id, run.trial_id, run.name)]
        if not matches:
            store = without_password(self.uri)
            raise StorageError(f"MLflow store {store} has no run with id or name '{text}'")
        if len(matches) > 1:
            ids = ", ".join(run.run_id for run in matches[:4])
            raise StorageError(f"{len(matches)} runs are called '{text}'; give an id: {ids}")
        return matches[0]

    def _open_run(
        self,
        own: Mapping[str, str],
        name: str,
        parameters: Mapping[str, Any],
        tags: Mapping[str, str],
    ) -> str:
        found = self._search(own)
        if not found and PHASE in own:
            found = self._search({EARLIER_PHASE if key == PHASE else key: own[key] for key in own})
        if found:
            run = self._only(found) if {IDENTITY, TRIAL} & set(own) else found[0]
            run_id = str(run.info.run_id)
            self._reopen(run)
            if PHASE not in run.data.tags:
                self._client.set_tag(run_id, PHASE, {**tags, **own}[PHASE])
            if run.data.tags.get(PARENT) != tags.get(PARENT, run.data.tags.get(PARENT)):
                self._client.set_tag(run_id, PARENT, tags[PARENT])
        else:
            run = self._client.create_run(
                self.experiment_id,
                tags={key: tag_value(value) for key, value in {**tags, **own}.items()}
                | {"status": "running"},
                run_name=run_name(name),
            )
            run_id = str(run.info.run_id)
        self._log_parameters(run_id, parameters, known=run.data.params)
        return run_id

    def _only(self, found: list[Run]) -> Run:
        """Return the run to continue among several with the same identity; delete the others.

        A request to create a run may have succeeded although its answer was lost, and was repeated.
        """

        def progress(run: Run) -> tuple[bool, float, float]:
            has_trials = bool(self._search({SWEEP_RUN: run.info.run_id}))
            return has_trials, run.data.metrics.get("epoch", 0.0), -run.info.start_time

        if len(found) == 1:
            return found[0]
        kept = max(found, key=progress)
        for run in found:
            if run is not kept:
                self.delete(str(run.info.run_id))
        return kept

    def _reopen(self, run: Run) -> None:
        run_id = run.info.run_id
        if run.info.status != "RUNNING":
            self._client.update_run(run_id, status="RUNNING")
        for stale in {"reason", "error"} & set(run.data.tags):
            self._client.delete_tag(run_id, stale)
        self._client.set_tag(run_id, "status", "running")

    def _log_parameters(
        self, run_id: str, parameters: Mapping[str, Any], known: Mapping[str, str]
    ) -> None:
        """Log missing parameters: MLflow refuses to change one, and a kill may leave some out."""
        from mlflow.entities import Param

        flat = flatten(parameters)
        new = [
            Param(name, parameter_value(as_text(flat[key])))
            for key, name in entity_names(flat).items()
            if name not in known
        ]
        if new:
            content = yaml.safe_dump(plain(parameters), sort_keys=False, allow_unicode=True)
            self.log_artifact(run_id, content.encode(), "parameters.yaml")
        for start in range(0, len(new), _PARAMETERS_PER_CALL):
            self._client.log_batch(run_id, params=new[start : start + _PARAMETERS_PER_CALL])

    def _search(self, tags: Mapping[str, str]) -> list[Run]:
        condition = " and ".join(f"tags.`{key}` = {_quoted(value)}" for key, value in tags.items())
        runs: list[Run] = []
        token: str | None = None
        while True:
            page = self._client.search_runs(
                [self.experiment_id], condition, max_results=1000, page_token=token
            )
            runs.extend(page)
            token = page.token
            if not token:
                return runs


def _quoted(value: str) -> str:
    quote = "'" if "'" not in value else '"'
    return f"{quote}{value}{quote}"
