"""The epochs of one trial: run or repeated in order, checkpointed, resumed; without Ray."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Required, TypedDict

from tune_nas.checkpoint_folder import MANIFEST, files_in
from tune_nas.errors import CheckpointError, StorageError, TuneNasError
from tune_nas.files import write_atomically
from tune_nas.learner import Learner
from tune_nas.library import stored_trial
from tune_nas.sweep.jobs import Job
from tune_nas.sweep.made_with import made_with
from tune_nas.sweep.reports_file import (
    MADE_WITH,
    TAKEN,
    TAKEN_FROM,
    Report,
    read_reports,
    write_reports,
)
from tune_nas.sweep.runs.checkpoints import first_intact, list_checkpoints, number_of
from tune_nas.sweep.sharing.branch import Branch, checkpoints_of, keep, start_from
from tune_nas.tasks import Task, find_task

CHECKPOINTS_KEPT = 2
"""Number of checkpoints that a trial keeps in each of its folders."""
_REPORTED = "reported.txt"  # of a checkpoint whose results have not all been reported


class TrialSetup(TypedDict, total=False):
    """The config of a trainable: its trial, and where that continues.

    Attributes:
        job: The `Job`, as a dict.
        folder: The trial's folder or URI.
        resume_from: The folders of its earlier sessions, oldest first.
        recorded: The last epoch that the driver has recorded.
        branches: Other trials that are the same so far, best first.
        keep: The epochs after which it keeps a checkpoint for other trials.
        stops: The epochs after which a scheduler may stop it.
        watched: Trials, as dicts, that need more in its checkpoints than it does itself.
    """

    job: Required[dict[str, Any]]
    folder: str
    resume_from: list[str]
    recorded: Required[int]
    branches: list[Branch]
    keep: list[int]
    stops: list[int]
    watched: list[dict[str, Any]]


class TrialEpochs:
    """The learner of a job, run one epoch at a time; never loses or repeats a result.

    Its checkpoints hold every result that it has reported. After a resume it reports the results
    that the driver had not recorded, then continues; after falling back to an older checkpoint it
    repeats the lost epochs, with the same results.

    Epochs that another trial has run for it, being the same so far, are reported one by one like
    its own. It takes them over up to the next epoch after which it may be stopped, so that its
    state is never further than that of a trial that runs alone.
    """

    def make_learner(self) -> Learner:
        """Return the learner of the trial's job, in this process."""
        task = self._task or find_task(self._job.task)
        return task.build(self._job.trial, self._job.inputs)

    def setup(self, config: TrialSetup, task: Task | None = None) -> None:
        """Note the trial; its first step or checkpoint builds everything, and resumes it.

        Ray may start a process for a trial, then run it in one that another trial has left, and
        stop the first without a step: that one must not touch what the trial uses elsewhere. And
        Ray retries a trial whose step fails, but not one that fails here in a process that it
        takes over from another trial.

        Args:
            config: The trial, and where it continues.
            task: Task that builds the learner; None for the task that the job names.
        """
        self.cleanup()
        self._unbuilt: tuple[TrialSetup, Task | None] | None = (config, task)
        self._failure: Exception | None = None

    def _build(self) -> None:
        """Build everything, and resume where an earlier session stopped; once.

        The next step raises an error of this.
        """
        if self._unbuilt is None:
            return
        config, self._task = self._unbuilt
        self._unbuilt = None
        try:
            self._folder = config.get("folder", "")
            self._resume_from = config.get("resume_from", [])
            self._job = _running(config, [*self._resume_from, self._folder])
            self._notes: list[str] = []
            self._reports: list[Report] = []
            self._reported = 0
            self._taken_from, self._taken = "", 0
            self._saved: dict[str, bytes] = {}  # the last checkpoint, while its reports are made
            self._branches = config.get("branches", [])
            self._refused: set[str] = set()  # checkpoints of other trials that were tried in vain
            self._keep, self._stops = config.get("keep", []), config.get("stops", [])
            self._learner = self.make_learner()
            self._made_with = made_with(self._job.trial)
            self._recorded = config["recorded"]
            if self._load_newest(()):
                self._reported = _count_recorded(self._reports, self._recorded, self._learner)
        except Exception as error:
            self._failure = error

    def cleanup(self) -> None:
        """Release what the learner uses in other processes: nothing."""

    def step(self, on_step: Callable[[int, int], None] | None = None) -> Report:
        """Run an epoch, or report one that the driver has not recorded yet.

        Args:
            on_step: Called after each step of the epoch, as by `Learner.run_epoch`.
        """
        self._build()
        if self._failure is not None:
            raise self._failure
        if self._reported == len(self._reports):
            self._saved = {}
        if self._reported == len(self._reports) and not self._take_over():
            metrics = dict(self._learner.run_epoch(on_step))
            found = self._learner.result()
            genotype = {} if found is None else {"genotype": found.to_yaml()}
            self._reports.append({**metrics, **self._learner.remarks(), **genotype})
        report = dict(self._reports[self._reported])
        self._reported += 1
        if report["epoch"] <= self._taken:
            report |= {TAKEN_FROM: self._taken_from, TAKEN: str(self._taken)}
        elif report["epoch"] in self._keep and self._reported == len(self._reports):
            keep(self._folder, self._learner.epoch, self.save_checkpoint)
        report[MADE_WITH] = self._made_with
        report["done"] = self._learner.done and self._reported == len(self._reports)
        if self._notes:
            report["notes"] = " | ".join(self._notes)
            self._notes = []
        return report

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write the learner's state, and the results reported so far."""
        folder = Path(checkpoint_dir)
        if self._saved:
            for name in sorted(self._saved, key=lambda name: name == MANIFEST):
                write_atomically(folder / name, self._saved[name])
        else:
            self._learner.save(folder)
            write_reports(folder, self._reports)
        if self._reported == len(self._reports):
            self._saved = {}
            return
        self._saved = self._saved or files_in(folder)
        write_atomically(folder / _REPORTED, str(self._reported).encode())

    def load_checkpoint(self, checkpoint: str) -> None:
        """Load the state of a checkpoint; if it is damaged, of the newest older intact one.

        If none is intact, the trial starts again, with the same results. Each damaged checkpoint
        is warned of.
        """
        self._build()
        if self._failure is not None:
            return
        newest = Path(checkpoint)
        number = number_of(newest.name)  # None if Ray has fetched it to a separate folder
        older = list_checkpoints([self._folder or str(newest.parent)], before=number)
        self._load_newest(itertools.chain([str(newest)], older))

    def _load_newest(self, checkpoints: Iterable[str]) -> bool:
        """Load the first intact checkpoint; return whether there was one.

        Args:
            checkpoints: Those of this session; those of earlier ones follow.
        """
        self._saved = {}
        every = itertools.chain(checkpoints, _earlier(self._resume_from, self._job))
        found = first_intact(every, self._load, self._skip)
        if found is None:
            self._reports, self._reported = [], 0
        return found is not None

    def _load(self, folder: Path) -> None:
        reports = read_reports(folder)
        self._learner.load(folder)
        if reports[-1]["epoch"] != self._learner.epoch:
            raise CheckpointError(f"{folder}: its results are not those of its state")
        self._reports, self._reported = reports, len(reports)
        with suppress(OSError, ValueError):
            self._reported = int((folder / _REPORTED).read_text(encoding="utf-8"))

    def _skip(self, error: TuneNasError, what: str = "damaged checkpoint") -> None:
        self._notes.append(_warned(self._job, f"skipped a {what}: {error}"))
        self._renew()  # a load that failed halfway must leave no trace

    def _renew(self) -> None:
        self.cleanup()
        self._learner = self.make_learner()

    def _take_over(self) -> bool:
        """Take over epochs that other trials have run; return whether a report is left then."""
        before = self._learner.epoch
        ahead = [
            branch
            for branch in self._branches
            if branch["epochs"] > before and branch["made_with"] == self._made_with
        ]
        if not ahead:
            return False
        most = min((stop for stop in self._stops if stop > before), default=self._job.epochs)
        ready, away = checkpoints_of(ahead, range(before + 1, most + 1))
        for trial, error in away.items():  # it asks no second time
            what = f"runs the epochs of trial {trial} itself: {error}"
            self._notes.append(_warned(self._job, what))
        self._branches = [each for each in self._branches if each["trial"] not in away]
        found = [each for each in ready if each[0] not in self._refused]
        if not found:
            return False
        if before:
            self._renew()
        for checkpoint, trial in found:
            try:
                self._reports = start_from(self._learner, checkpoint)
            except (CheckpointError, StorageError) as error:
                if isinstance(error, CheckpointError):  # a storage may only be away for a moment
                    self._refused.add(checkpoint)
                self._skip(error, f"checkpoint of trial {trial}")
            else:
                self._taken_from, self._taken = trial, self._learner.epoch
                known = max(before, self._recorded)
                self._reported = _count_recorded(self._reports, known, self._learner)
                return True
        if before:
            self._load_newest(list_checkpoints([self._folder]))
        return self._reported < len(self._reports)


def _warned(job: Job, what: str) -> str:
    """Warn of something that a trial does, and return the warning."""
    note = f"trial {job.id}: {what}"
    warnings.warn(note, stacklevel=3)
    return note


def _count_recorded(reports: Sequence[Report], epoch: int, learner: Learner) -> int:
    """Return how many reports the driver has, given the last epoch that it has recorded.

    A finished trial reports its last result once more: Ray needs one result to close it.
    """
    known = sum(1 for report in reports if report["epoch"] <= epoch)
    return min(known, len(reports) - 1) if learner.done else known


def _running(config: TrialSetup, folders: Sequence[str]) -> Job:
    """Return the job of a trial, with inputs that are known only while it runs."""
    job = Job.from_dict(config["job"])
    known = tuple(folder for folder in folders if folder)
    watched = [stored_trial(trial, "a watched trial") for trial in config.get("watched", [])]
    return replace(job, inputs=replace(job.inputs, folders=known, watched=tuple(watched)))


def _earlier(folders: Sequence[str], job: Job) -> Iterator[str]:
    """Yield the checkpoints of earlier sessions, newest first, then the one in the inputs."""
    yield from list_checkpoints(folders)
    if job.inputs.checkpoint is not None:
        yield job.inputs.checkpoint
