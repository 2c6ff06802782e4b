"""The epochs of one trial: run or repeated in order, checkpointed, resumed; without Ray."""

from __future__ import annotations

import itertools
import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Required, TypedDict

from tune_nas.errors import CheckpointError
from tune_nas.files import write_atomically
from tune_nas.learner import Learner
from tune_nas.sweep.jobs import Job
from tune_nas.sweep.runs.checkpoints import first_intact, list_checkpoints, number_of
from tune_nas.sweep.runs.stored import read_stored
from tune_nas.tasks import Task, find_task

REPORTS = "reports.json"
CHECKPOINTS_KEPT = 2
"""Number of checkpoints that a trial keeps in each of its folders."""

Report = dict[str, Any]
"""The metrics of an epoch with the genotype and the remarks, in the learner's order."""


class TrialSetup(TypedDict, total=False):
    """The config of a trainable: its trial, and where that continues.

    Attributes:
        job: The `Job`, as a dict.
        folder: The trial's folder or URI.
        resume_from: The folders of its earlier sessions, oldest first.
        recorded: The last epoch that the driver has recorded.
    """

    job: Required[dict[str, Any]]
    folder: str
    resume_from: list[str]
    recorded: Required[int]


class TrialEpochs:
    """The learner of a job, run one epoch at a time; never loses or repeats a result.

    Its checkpoints hold every result that it has reported. After a resume it reports the results
    that the driver had not recorded, then continues; after falling back to an older checkpoint it
    repeats the lost epochs, with the same results.
    """

    def make_learner(self) -> Learner:
        """Return the learner of the trial's job, in this process."""
        task = self._task or find_task(self._job.task)
        return task.build(self._job.trial, self._job.inputs)

    def setup(self, config: TrialSetup, task: Task | None = None) -> None:
        """Build everything from the config, and resume where an earlier session stopped.

        An error is raised by the first step: Ray retries a trial whose step fails, but not one that
        fails here in a process that it takes over from another trial.

        Args:
            config: The trial, and where it continues.
            task: Task that builds the learner; None for the task that the job names.
        """
        self.cleanup()
        self._failure: Exception | None = None
        try:
            self._set_up(config, task)
        except Exception as error:
            self._failure = error

    def _set_up(self, config: TrialSetup, task: Task | None) -> None:
        self._folder = config.get("folder", "")
        self._resume_from = config.get("resume_from", [])
        self._job = _in_folders(config, [*self._resume_from, self._folder])
        self._task = task
        self._notes: list[str] = []
        self._reports: list[Report] = []
        self._reported = 0
        self._learner = self.make_learner()
        if self._load_first(_earlier(self._resume_from, self._job)):
            known = sum(1 for report in self._reports if report["epoch"] <= config["recorded"])
            # A finished trial reports its last result once more: Ray needs one result to close it.
            self._reported = min(known, len(self._reports) - 1) if self._learner.done else known

    def cleanup(self) -> None:
        """Release what the learner uses in other processes: nothing."""

    def step(self, on_step: Callable[[int, int], None] | None = None) -> Report:
        """Run an epoch, or report one that the driver has not recorded yet.

        Args:
            on_step: Called after each step of the epoch, as by `Learner.run_epoch`.
        """
        if self._failure is not None:
            raise self._failure
        if self._reported == len(self._reports):
            metrics = dict(self._learner.run_epoch(on_step))
            found = self._learner.result()
            genotype = {} if found is None else {"genotype": found.to_yaml()}
            self._reports.append({**metrics, **self._learner.remarks(), **genotype})
        report = dict(self._reports[self._reported])
        self._reported += 1
        report["done"] = self._learner.done and self._reported == len(self._reports)
        if self._notes:
            report["notes"] = " | ".join(self._notes)
            self._notes = []
        return report

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write the learner's state, and the results reported so far."""
        folder = Path(checkpoint_dir)
        self._learner.save(folder)
        write_atomically(folder / REPORTS, json.dumps(self._reports).encode())

    def load_checkpoint(self, checkpoint: str) -> None:
        """Load the state of a checkpoint; if it is damaged, of the newest older intact one.

        If none is intact, the trial starts again, with the same results. Each damaged checkpoint
        is warned of.
        """
        if self._failure is not None:
            return
        newest = Path(checkpoint)
        number = number_of(newest.name)  # None if Ray has fetched it to a separate folder
        older = list_checkpoints([self._folder or str(newest.parent)], before=number)
        if not self._load_first(
            itertools.chain([str(newest)], older, _earlier(self._resume_from, self._job))
        ):
            self._reports = []
        self._reported = len(self._reports)

    def _load_first(self, checkpoints: Iterable[str]) -> bool:
        """Load the first intact checkpoint; return whether there was one."""
        return first_intact(checkpoints, self._load, self._skip) is not None

    def _load(self, folder: Path) -> None:
        reports = read_reports(folder)
        self._learner.load(folder)
        if reports[-1]["epoch"] != self._learner.epoch:
            raise CheckpointError(f"{folder}: its results are not those of its state")
        self._reports = reports

    def _skip(self, error: CheckpointError) -> None:
        note = f"trial {self._job.id}: skipped a damaged checkpoint: {error}"
        warnings.warn(note, stacklevel=2)
        self._notes.append(note)
        # A load that failed halfway must leave no trace.
        self.cleanup()
        self._learner = self.make_learner()


def _in_folders(config: TrialSetup, folders: Sequence[str]) -> Job:
    """Return the job of a trial, with the trial's folders among its inputs."""
    job = Job.from_dict(config["job"])
    known = tuple(folder for folder in folders if folder)
    return replace(job, inputs=replace(job.inputs, folders=known))


def _earlier(folders: Sequence[str], job: Job) -> Iterator[str]:
    """Yield the checkpoints of earlier sessions, newest first, then the one in the inputs."""
    yield from list_checkpoints(folders)
    if job.inputs.checkpoint is not None:
        yield job.inputs.checkpoint


def read_reports(folder: Path) -> list[Report]:
    """Return the results stored in a checkpoint.

    Raises:
        CheckpointError: If they are missing or damaged.
    """
    try:
        text = (folder / REPORTS).read_text(encoding="utf-8")
        reports: list[Report] = read_stored(list[Report], text)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder / REPORTS}: absent or damaged: {error}") from error
    if not all(isinstance(report.get("epoch"), int | float) for report in reports or [{}]):
        raise CheckpointError(f"{folder / REPORTS}: holds no list of results")
    return reports
