"""The runs of a sweep in MLflow: found again by their tags, never doubled, each epoch once."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import yaml

from tune_nas.errors import StorageError
from tune_nas.tracking.figures import render
from tune_nas.tracking.names import entity_names, parameter_value, run_name, tag_value
from tune_nas.tracking.store import connect, without_password

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from tune_nas.spaces import Genotype, Space

SWEEP, SWEEP_RUN, IDENTITY = "tune_nas.sweep", "tune_nas.sweep_run", "tune_nas.identity"
TRIAL, STAGE, PARENT = "tune_nas.trial_id", "tune_nas.stage", "mlflow.parentRunId"
STATES = ("FINISHED", "FAILED", "KILLED")
_STATUS_OF = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "interrupted"}
_PARAMETERS_PER_CALL = 100


@dataclass(frozen=True)
class TrackerSettings:
    """What a `Tracker` is made from; plain text, so that it can be pickled and sent around."""

    uri: str
    experiment: str = "tune-nas"
    artifact_location: str | None = None

    def open(self) -> Tracker:
        """Return a tracker of the store."""
        return Tracker(
            self.uri, experiment=self.experiment, artifact_location=self.artifact_location
        )


@dataclass(frozen=True)
class TrackedRun:
    """A run as it stands in the store.

    Args:
        state: MLflow's own word: RUNNING, FINISHED, FAILED or KILLED.
        status: Ours: running, finished, stopped early, failed or interrupted.
        stage: sweep, search, repeat or retrain.
        parent: Run id of the run that this one hangs under.
        parameters: As text, which is how MLflow keeps them.
        metrics: The newest value of each.
        started: Seconds since 1970.
    """

    run_id: str
    name: str
    sweep: str
    stage: str
    trial_id: str | None
    parent: str | None
    state: str
    status: str
    parameters: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]
    started: float


class Tracker:
    """Writes the runs of sweeps. Belongs to the driver: trials never write to the store.

    Args:
        uri: MLflow tracking URI; ``sqlite:///FILE`` is created, its folder included.
        experiment: MLflow experiment that all runs go to.
        artifact_location: Where a new experiment keeps its files; by default the folder
            ``mlartifacts`` beside a sqlite file.
        create: False to only look at a store that exists.

    Raises:
        StorageError: If the store cannot be reached or written; within seconds.
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
            identity: Any text kept with the sweep. It tells two sweeps of the same name in a
                shared store apart; None finds by name alone.
        """
        own = {SWEEP: name, STAGE: "sweep"} | ({IDENTITY: identity} if identity else {})
        return self._open_run(own, name, parameters, tags or {})

    def trial_run(
        self,
        sweep_run_id: str,
        trial_id: str,
        *,
        stage: str,
        parameters: Mapping[str, Any],
        tags: Mapping[str, str] | None = None,
        parent: str | None = None,
        name: str | None = None,
    ) -> str:
        """Return the id of a trial's run: found and reopened, or created.

        Args:
            sweep_run_id: The sweep's run.
            trial_id: Ray's id of the trial, kept across a resume.
            stage: ``search``, ``repeat`` or ``retrain``.
            parameters: Everything that decides the trial, nested mappings allowed. They are
                logged once, as dotted keys with values as text, and as ``parameters.yaml``.
            tags: Further tags.
            parent: Run to hang it under (a retrain: under its search); None for the sweep's.
            name: What the run table shows; None for stage and trial id.
        """
        sweep = self._client.get_run(sweep_run_id).data.tags[SWEEP]
        own = {SWEEP_RUN: sweep_run_id, TRIAL: trial_id}
        fixed = {SWEEP: sweep, STAGE: stage, PARENT: parent or sweep_run_id}
        return self._open_run(
            own, name or f"{stage} {trial_id}", parameters, {**(tags or {}), **fixed}
        )

    def find_trial(self, sweep_run_id: str, trial_id: str) -> TrackedRun | None:
        """Return the run of a trial of the sweep, or None."""
        found = self._search({SWEEP_RUN: sweep_run_id, TRIAL: trial_id})
        return _tracked(found[0]) if found else None

    def log_epoch(self, run_id: str, step: int, metrics: Mapping[str, float]) -> bool:
        """Log an epoch's metrics in one call, unless the store has that epoch already.

        Returns:
            Whether it was logged; False for an epoch that a resumed trial runs again.
        """
        steps = self._steps(run_id)
        if step in steps:
            return False
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        values = {**metrics, "epoch": float(step)}
        self._client.log_batch(
            run_id, metrics=[Metric(key, float(value), now, step) for key, value in values.items()]
        )
        steps.add(step)
        return True

    def log_genotype(self, run_id: str, genotype: Genotype, space: Space) -> None:
        """Log a genotype: YAML artifact, the tag that the run table shows, drawings of its cells.

        The drawings come as ``cells.svg`` and ``cells.png``.
        """
        from tune_nas.tracking.cells import draw_cells

        self.set_tags(run_id, {"genotype": str(genotype)})
        self.log_artifact(run_id, genotype.to_yaml().encode(), "genotype.yaml")
        self.log_figure(run_id, draw_cells(genotype, space), "cells")

    def log_alphas(self, run_id: str, csv: Path | bytes) -> None:
        """Log the α history: the table as it is, and a plot of it."""
        from tune_nas.tracking.alphas import plot_alphas

        self.log_artifact(run_id, csv, "alphas.csv")
        self.log_artifact(run_id, render(plot_alphas(csv), "png"), "alphas.png")

    def log_figure(self, run_id: str, figure: Figure, name: str) -> None:
        """Log a figure as ``NAME.svg`` and ``NAME.png``."""
        for kind in ("svg", "png"):
            self.log_artifact(run_id, render(figure, kind), f"{name}.{kind}")

    def log_artifact(self, run_id: str, content: Path | bytes, name: str) -> None:
        """Log a file or bytes under a name, which may contain folders (``cells/normal.svg``)."""
        data = content if isinstance(content, bytes) else Path(content).read_bytes()
        target = PurePosixPath(name)
        folder = None if target.parent == PurePosixPath(".") else str(target.parent)
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / target.name
            path.write_bytes(data)
            self._client.log_artifact(run_id, str(path), folder)

    def read_artifact(self, run_id: str, name: str) -> bytes:
        """Return the content of an artifact.

        Raises:
            StorageError: If the run has no such artifact.
        """
        try:
            with tempfile.TemporaryDirectory() as scratch:
                return Path(self._client.download_artifacts(run_id, name, scratch)).read_bytes()
        except Exception as error:  # each kind of artifact store raises its own
            raise StorageError(f"run {run_id} has no artifact '{name}'") from error

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
            reason: Why, in words; becomes the tag ``reason``.

        Raises:
            ValueError: If the status is none of the three.
        """
        if status not in STATES:
            raise ValueError(f"status is '{status}', but must be one of {', '.join(STATES)}")
        tags = {"status": outcome or _STATUS_OF[status], "reason": reason, "error": error or ""}
        self.set_tags(run_id, {key: value for key, value in tags.items() if value})
        self._client.set_terminated(run_id, status)

    def runs(self, sweep_run_id: str) -> list[TrackedRun]:
        """Return the trials of a sweep, oldest first."""
        return [_tracked(run) for run in reversed(self._search({SWEEP_RUN: sweep_run_id}))]

    def list_runs(self) -> list[TrackedRun]:
        """Return every run of the experiment, newest first."""
        return [_tracked(run) for run in self._search({})]

    def find_run(self, text: str) -> TrackedRun:
        """Return the run with this id, trial id or name.

        Raises:
            StorageError: If there is none, or several have that name (lists their ids).
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
        if found:
            run = found[0]
            run_id = str(run.info.run_id)
            self._reopen(run)
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
        """Log what the run lacks: MLflow refuses to change a parameter, and a kill can cut in."""
        from mlflow.entities import Param

        flat = flatten(parameters)
        new = [
            Param(name, parameter_value(as_text(flat[key])))
            for key, name in entity_names(flat).items()
            if name not in known
        ]
        if new:
            content = yaml.safe_dump(_plain(parameters), sort_keys=False, allow_unicode=True)
            self.log_artifact(run_id, content.encode(), "parameters.yaml")
        for start in range(0, len(new), _PARAMETERS_PER_CALL):
            self._client.log_batch(run_id, params=new[start : start + _PARAMETERS_PER_CALL])

    def _steps(self, run_id: str) -> set[int]:
        if run_id not in self._logged_steps:
            history = self._client.get_metric_history(run_id, "epoch")
            self._logged_steps[run_id] = {entry.step for entry in history}
        return self._logged_steps[run_id]

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


def flatten(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one with dotted keys, as ``{"update.lambda": 1.0}``."""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value if isinstance(value, bool | int | float | None) else str(value)


def as_text(value: Any) -> str:
    """Return a parameter as YAML has it: ``null``, ``true``, ``[0.5, 0.999]``; text unchanged."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(as_text(entry) for entry in value)}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {as_text(entry)}' for key, entry in value.items())}}}"
    return str(value)


def _quoted(value: str) -> str:
    quote = "'" if "'" not in value else '"'
    return f"{quote}{value}{quote}"


def _tracked(run: Run) -> TrackedRun:
    tags = run.data.tags
    return TrackedRun(
        run_id=run.info.run_id,
        name=run.info.run_name,
        sweep=tags.get(SWEEP, ""),
        stage=tags.get(STAGE, ""),
        trial_id=tags.get(TRIAL),
        parent=tags.get(PARENT),
        state=run.info.status,
        status=tags.get("status", ""),
        parameters=dict(run.data.params),
        metrics=dict(run.data.metrics),
        tags=dict(tags),
        started=run.info.start_time / 1000,
    )
