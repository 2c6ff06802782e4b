"""The MLflow experiment that has the runs: a run is found by its tags, and never duplicated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tune_nas.tracking import mlflow_names as mlflow
from tune_nas.tracking.artifacts import Artifacts
from tune_nas.tracking.names import run_name, tag_value
from tune_nas.tracking.store import connect
from tune_nas.tracking.tracked_run import (
    EARLIER_PHASE,
    IDENTITY,
    PARENT,
    PHASE,
    SWEEP_RUN,
    TRIAL,
    last_step,
)

EXPERIMENT = "tune-nas"
_PAGE = 100  # runs that are requested at once


class Experiment:
    """An experiment of an MLflow store.

    Args:
        uri: MLflow tracking URI; ``sqlite:///FILE`` is created, its folder included.
        name: Name of the experiment.
        artifact_location: Location of the files of a new experiment; by default the folder
            ``mlartifacts`` beside a sqlite file.
        create: False to only open a store that exists.

    Attributes:
        client: MLflow's client of the store.
        experiment_id: Id of the experiment.
        artifacts: The files of its runs.

    Raises:
        StorageError: If the store cannot be reached or written; raised within seconds.
    """

    def __init__(
        self,
        uri: str,
        *,
        name: str = EXPERIMENT,
        artifact_location: str | None = None,
        create: bool = True,
    ) -> None:
        self.uri = uri
        self.client, self.experiment_id = connect(
            uri, experiment=name, artifact_location=artifact_location, create=create
        )
        self.artifacts = Artifacts(self.client, uri)

    def search(self, tags: Mapping[str, str]) -> list[mlflow.Run]:
        """Return the runs with these tags, newest first."""
        return list(self.iterate(tags))

    def iterate(self, tags: Mapping[str, str]) -> Iterator[mlflow.Run]:
        """Yield the runs with these tags, newest first, requested page by page.

        A run takes a few hundred kilobytes while MLflow reads it from a database.
        """
        condition = " and ".join(f"tags.`{key}` = {_quoted(value)}" for key, value in tags.items())
        token: str | None = None
        while True:
            page = self.client.search_runs(
                [self.experiment_id], condition, max_results=_PAGE, page_token=token
            )
            yield from page
            token = page.token
            if not token:
                return

    def open_run(
        self, own: Mapping[str, str], name: str, tags: Mapping[str, str], *, new: bool = False
    ) -> mlflow.Run:
        """Return the run with the tags that identify it: found and reopened, or created.

        Args:
            own: The tags that identify it.
            name: Name in the run table.
            tags: Further tags of a new run. A run that is found gets the parent among them.
            new: Whether the store is known to have no such run.
        """
        found = [] if new else self.search(own)
        if not found and not new and PHASE in own:
            found = self.search({EARLIER_PHASE if key == PHASE else key: own[key] for key in own})
        if not found:
            return self.client.create_run(
                self.experiment_id,
                tags={key: tag_value(value) for key, value in {**tags, **own}.items()}
                | {"status": "running"},
                run_name=run_name(name),
            )
        run = self._only(found) if {IDENTITY, TRIAL} & set(own) else found[0]
        self._reopen(run)
        if PHASE not in run.data.tags:
            self.client.set_tag(run.info.run_id, PHASE, {**tags, **own}[PHASE])
        if run.data.tags.get(PARENT) != tags.get(PARENT, run.data.tags.get(PARENT)):
            self.client.set_tag(run.info.run_id, PARENT, tags[PARENT])
        return run

    def _only(self, found: list[mlflow.Run]) -> mlflow.Run:
        """Return the run to continue among several with the same identity; delete the others.

        A request to create a run may have succeeded although its answer was lost, and was repeated.
        """

        def progress(run: mlflow.Run) -> tuple[bool, int, float]:
            has_trials = bool(self.search({SWEEP_RUN: run.info.run_id}))
            return has_trials, last_step(run), -run.info.start_time

        if len(found) == 1:
            return found[0]
        kept = max(found, key=progress)
        for run in found:
            if run is not kept:
                self.client.delete_run(str(run.info.run_id))
        return kept

    def _reopen(self, run: mlflow.Run) -> None:
        run_id = run.info.run_id
        if run.info.status != "RUNNING":
            self.client.update_run(run_id, status="RUNNING")
        for stale in {"reason", "error"} & set(run.data.tags):
            self.client.delete_tag(run_id, stale)
        self.client.set_tag(run_id, "status", "running")


def _quoted(value: str) -> str:
    quote = "'" if "'" not in value else '"'
    return f"{quote}{value}{quote}"
