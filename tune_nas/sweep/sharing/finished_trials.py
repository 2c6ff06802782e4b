"""Finished trials of other runs in a storage, found by what decided their results."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from tune_nas.errors import StorageError
from tune_nas.search.so_far import runs_own_code, space_in_file
from tune_nas.status import Status
from tune_nas.sweep.jobs import Job
from tune_nas.sweep.runs.plan import read_states
from tune_nas.sweep.runs.record_files import FOLDER
from tune_nas.sweep.runs.storage import Storage
from tune_nas.sweep.sharing.branch import Branch
from tune_nas.sweep.sharing.common_epochs import Course
from tune_nas.sweep.sharing.courses import course_of
from tune_nas.tasks import Task

_PHASES = ("search", "repeat", "retrain")
_DECIDED = re.compile(rb'"decided": "([0-9a-f]{64})"')


def decided_by(job: Job, course: Course) -> str:
    """Return a digest of everything that decides the results of a job; empty if it is not known.

    It is not known with code of the user's own, in a class or in an operation of the space, which
    may have changed meanwhile. The file of a space may have, too: its content is in the digest.

    Args:
        job: The job.
        course: Its course; empty if that is not known.
    """
    if not course or runs_own_code(job.trial):
        return ""
    space = space_in_file(job.trial)
    content = "" if space is None else f" {json.dumps(space, sort_keys=True)}"
    return hashlib.sha256(f"{course[-1]} {len(course)}{content}".encode()).hexdigest()


@dataclass(frozen=True)
class Reuse:
    """What the jobs of a phase take over from finished trials of other runs.

    Args:
        task: Task of the jobs; None for the task that they name.
        finished: The trials; None to take over nothing, and only to record what decides the jobs.
        courses: The courses of jobs by id, as far as they are known already.
    """

    task: Task | None = None
    finished: FinishedTrials | None = None
    courses: Mapping[str, Course] = field(default_factory=dict)

    def decided_by(self, job: Job) -> str:
        """Return a digest of what decides the results of a job; see `decided_by`."""
        known = self.courses.get(job.id)
        return decided_by(job, course_of(job, self.task) if known is None else known)

    def branches(self, decided: str) -> list[Branch]:
        """Return the trials from which a job takes over all epochs."""
        return [] if self.finished is None else self.finished.like(decided)


class FinishedTrials:
    """The finished trials of the other runs in a storage; they are looked for when first asked.

    Args:
        root: The storage.
        name: The run that asks.
    """

    def __init__(self, root: Storage, name: str) -> None:
        self._root, self._name = root, name

    def like(self, decided: str) -> list[Branch]:
        """Return the trials with the results of a job, from `decided_by`."""
        if not decided:
            return []
        found = [self._branch(path) for path in self._files.get(decided, ())]
        return [branch for branch in found if branch is not None]

    @cached_property
    def _files(self) -> dict[str, list[tuple[str, str, str]]]:
        """The run, the phase and the file of each record, by what decided its trial."""
        found: dict[str, list[tuple[str, str, str]]] = {}
        for name, _ in read_states(self._root):
            if name == self._name:
                continue
            folder = self._root.within(name)
            for phase in _PHASES:
                for file in folder.names(f"{phase}/{FOLDER}"):
                    mark = _DECIDED.search(_content(folder, phase, file))
                    if mark is not None:
                        found.setdefault(mark.group(1).decode(), []).append((name, phase, file))
        return found

    def _branch(self, place: tuple[str, str, str]) -> Branch | None:
        """Return the trial of a record; None if it has not finished, or cannot be read."""
        name, phase, file = place
        folder = self._root.within(name)
        try:
            record = json.loads(_content(folder, phase, file))
            if record["status"] != Status.FINISHED:
                return None
            return Branch(
                trial=f"{name}/{record['job']['id']}",
                epochs=int(record["history"][-1]["epoch"]),
                folders=[f"{folder.root}/{phase}/{each}" for each in record["folders"]],
                made_with=str(record["made_with"]),
            )
        except (ValueError, LookupError, TypeError):
            return None


def _content(folder: Storage, phase: str, file: str) -> bytes:
    try:
        return folder.read_bytes(f"{phase}/{FOLDER}/{file}") or b""
    except StorageError:
        return b""
