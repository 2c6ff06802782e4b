"""Files of MLflow runs, in the store of their run."""

from __future__ import annotations

import tempfile
from pathlib import Path, PurePosixPath

from tune_nas.errors import StorageError
from tune_nas.tracking import mlflow_names as mlflow


class Artifacts:
    """Writes and reads the files of runs.

    The MLflow client caches the location of the files of a run by run id, for all stores of a
    process: with a store and its copy, it would write the files of one into the folder of the
    other. Each experiment therefore has its own cache.

    Args:
        client: Client of the store.
        uri: URI of the store.
    """

    def __init__(self, client: mlflow.MlflowClient, uri: str) -> None:
        self._client, self._uri = client, uri
        self._repositories: dict[str, mlflow.ArtifactRepository] = {}

    def log(self, run_id: str, content: Path | bytes, name: str) -> None:
        """Log a file or bytes under a name, which may contain folders (``cells/normal.svg``)."""
        data = content if isinstance(content, bytes) else Path(content).read_bytes()
        target = PurePosixPath(name)
        folder = None if target.parent == PurePosixPath(".") else str(target.parent)
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / target.name
            path.write_bytes(data)
            self._of(run_id).log_artifact(str(path), folder)

    def read(self, run_id: str, name: str) -> bytes:
        """Return the content of a file.

        Raises:
            StorageError: If the run has no such file.
        """
        try:
            with tempfile.TemporaryDirectory() as scratch:
                path = self._of(run_id).download_artifacts(name, scratch)
                return Path(path).read_bytes()
        except Exception as error:  # each kind of artifact store raises its own
            raise StorageError(f"run {run_id} has no artifact '{name}'") from error

    def locate(self, run_id: str, location: str) -> None:
        """Note the location of the files of a run, which saves the request for it."""
        if run_id not in self._repositories:
            self._repositories[run_id] = mlflow.get_artifact_repository(
                location, tracking_uri=self._uri
            )

    def forget(self, run_id: str | None = None) -> None:
        """Clear the cache, of one run or of all: after a failed request it may be wrong."""
        if run_id is None:
            self._repositories.clear()
        else:
            self._repositories.pop(run_id, None)

    def _of(self, run_id: str) -> mlflow.ArtifactRepository:
        if run_id not in self._repositories:
            self.locate(run_id, self._client.get_run(run_id).info.artifact_uri)
        return self._repositories[run_id]
