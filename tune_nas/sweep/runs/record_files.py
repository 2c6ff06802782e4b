"""The files of a phase's records: one JSON file per trial, read back with its types checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tune_nas.errors import ConfigError, StorageError
from tune_nas.status import Status
from tune_nas.sweep.jobs import Job, StoredJob
from tune_nas.sweep.runs.record import Record
from tune_nas.sweep.runs.storage import Storage
from tune_nas.sweep.runs.stored import read_stored
from tune_nas.text import shown

FOLDER = "records"
"""The folder of the files, in that of the phase."""


class RecordFiles:
    """Reads and writes the records of one phase.

    Args:
        storage: Storage of the sweep.
        phase: Name of the phase, which is the folder.
    """

    def __init__(self, storage: Storage, phase: str) -> None:
        self._storage, self._phase = storage, phase

    def read(self) -> dict[str, Record]:
        """Return all records by the id of their job.

        Raises:
            StorageError: If a record cannot be read; names the file.
        """
        records: dict[str, Record] = {}
        for name in self._storage.names(f"{self._phase}/{FOLDER}"):
            if name.endswith(".json") and not name.startswith("."):
                record = self._read(f"{self._phase}/{FOLDER}/{name}")
                records[record.job.id] = record
        return records

    def write(self, record: Record) -> None:
        """Write the file of a record; it survives a power cut.

        Raises:
            StorageError: If it cannot be written.
        """
        path = f"{self._phase}/{FOLDER}/{record.job.id}.json"
        names = [folder.rpartition("/")[2] for folder in record.folders]
        content = {**vars(record), "job": record.job.to_dict(), "folders": names}
        self._storage.write(path, json.dumps(content, ensure_ascii=False))

    def _read(self, name: str) -> Record:
        try:
            content = read_stored(_StoredRecord, self._storage.read(name) or "")
            content["job"] = Job.from_dict(content["job"], where="job.trial")
            record = Record(**{**content, "status": _status(content)})
            _check_record(record, self._phase, name)
            # earlier versions wrote absolute paths, which a move of the storage made wrong
            names = [folder.rpartition("/")[2] for folder in record.folders]
            record.folders = [f"{self._storage.root}/{self._phase}/{own}" for own in names]
            return record
        except (ConfigError, ValueError, TypeError) as error:
            raise StorageError(
                f"{self._storage.root}/{name} is damaged: not the record of a trial ({error}); "
                "remove it to run that trial again"
            ) from error


@dataclass
class _StoredRecord(Record):
    """The types of a record's entries in its JSON file."""

    job: StoredJob  # type: ignore[assignment]
    status: str = Status.RUNNING  # type: ignore[assignment]


def _status(content: Mapping[str, Any]) -> Status:
    try:
        return Status(content.get("status", Status.RUNNING))
    except ValueError as error:
        raise ValueError(f"status is {shown(content['status'])}") from error


def _check_record(record: Record, phase: str, name: str) -> None:
    """Raise a ValueError if the values of a record do not go together, or with its file."""
    job = record.job
    if job.phase != phase or not name.endswith(f"/{job.id}.json"):
        raise ValueError(f"it is that of {shown(job.id)} in phase {shown(job.phase)}")
    if len(record.orders) != len(record.history):
        raise ValueError(f"{len(record.history)} epochs have {len(record.orders)} orders")
    if any("epoch" not in metrics for metrics in record.history):
        raise ValueError("a result has no epoch")
