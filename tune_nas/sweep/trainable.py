"""Ray Tune's trainables: one step is one epoch of a search, or of a retrain."""

from __future__ import annotations

import itertools
import json
import os
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from ray.tune import Trainable

from tune_nas import library
from tune_nas.config import TrialConfig
from tune_nas.errors import CheckpointError, StorageError, TuneNasError
from tune_nas.files import write_atomically
from tune_nas.sweep.endings import ENDED
from tune_nas.sweep.records import DECISIONS, Job
from tune_nas.sweep.stored import read_stored

REPORTS = "reports.json"


class Learner(Protocol):
    """What `Search` and `Retrain` have in common."""

    @property
    def epoch(self) -> int:
        """Number of completed epochs, which is the next one to run."""

    @property
    def done(self) -> bool:
        """Whether the last epoch was run."""

    @property
    def genotype(self) -> Any:
        """What was found so far, or what is trained; has ``to_yaml()``."""

    def run_epoch(self, on_step: Callable[[int, int], None] | None = None) -> Mapping[str, Any]:
        """Run one epoch and return its metrics, ``epoch`` among them."""

    def save(self, folder: Path) -> None:
        """Write the whole state into a folder."""

    def load(self, folder: Path) -> None:
        """Take the state from a folder; raise a CheckpointError if it is damaged."""


class EpochTrainable(Trainable):  # type: ignore[misc]
    """A learner, an epoch at a time, that never loses or repeats a result.

    Its checkpoints hold every result that it has reported. After a resume it reports those that
    the driver had not recorded, then runs on; after a fall back to an older checkpoint it runs
    the lost epochs again, to the same results. So ``epoch`` in the metrics is what counts;
    Ray's ``training_iteration`` is not.

    The config holds ``job`` (a `Job` as a dict), ``resume_from`` (folders of the trial's earlier
    sessions, oldest first) and ``recorded`` (the last epoch that the driver knows).
    """

    @staticmethod
    def build(job: Job) -> Learner:
        """Return the learner of a job; what a subclass has to define."""
        raise NotImplementedError

    def make_learner(self) -> Learner:
        """Return the learner of the trial's job."""
        return self.build(self._job)

    @staticmethod
    def remarks(learner: Any) -> dict[str, str]:
        """Return what there is to say of a learner's last epoch, in words."""
        return {}

    @staticmethod
    def check(trial: TrialConfig, genotype: str | None = None) -> None:
        """Raise a one-line error if the trial cannot start, before anything is written.

        Args:
            trial: The trial.
            genotype: What a retrain is to train, as far as it is known.
        """

    @staticmethod
    def check_memory(trial: TrialConfig, genotype: str | None = None) -> None:
        """Raise a one-line error if the trial cannot fit into the memory of this machine.

        Args:
            trial: The trial, which is to run here.
            genotype: What a retrain is to train, as far as it is known.
        """

    def setup(self, config: dict[str, Any]) -> None:
        """Build everything from the config, and resume where an earlier session stopped.

        An error is raised by the first step: Ray tries a trial again whose step fails, but not one
        that fails here in a process that it takes over from another trial.
        """
        self._failure: Exception | None = None
        try:
            self._set_up(config)
        except Exception as error:
            self._failure = error

    def _set_up(self, config: dict[str, Any]) -> None:
        self._job = Job(**config["job"])
        self._resume_from: list[str] = config.get("resume_from", [])
        self._notes: list[str] = []
        self._reports: list[dict[str, Any]] = []
        self._reported = 0
        self._learner = self.make_learner()
        if self._load_first(self._earlier()):
            known = sum(1 for report in self._reports if report["epoch"] <= config["recorded"])
            # A finished trial reports its end once more: Ray needs one result to close it.
            self._reported = min(known, len(self._reports) - 1) if self._learner.done else known

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take another trial: everything is built anew, in the process that is already there."""
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Run an epoch, or report one that the driver has not seen yet."""
        if self._failure is not None:
            raise self._failure
        if self._reported == len(self._reports):
            metrics = dict(self._learner.run_epoch())
            genotype = self._learner.genotype.to_yaml()
            remarks = self.remarks(self._learner)
            self._reports.append({**metrics, **remarks, "genotype": genotype})
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

    def save(self, checkpoint_dir: str | None = None) -> Any:
        """Save a checkpoint and copy it to the storage.

        Raises:
            StorageError: If one of both cannot be written; names the file or the storage.
        """
        try:
            return super().save(checkpoint_dir)
        except TuneNasError:
            raise
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            storage = self._storage.trial_fs_path if self._storage else checkpoint_dir
            where = error.filename or storage
            raise StorageError(f"checkpoint cannot be written: {where}: {reason}") from error

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Take a checkpoint's state; if it is damaged, that of the newest older one that is not.

        Where none is whole, the trial starts again: it comes to the same results. Each damaged
        one is warned of.
        """
        if self._failure is not None:
            return
        newest = Path(checkpoint)
        folder = self._storage.trial_fs_path if self._storage else str(newest.parent)
        system = self._storage.storage_filesystem if self._storage else None
        number = _number(newest.name)  # none where Ray has fetched it to a folder of its own
        every = checkpoints(folder, system)
        older = (other for other in every if number < 0 or _number(other.name) < number)
        if not self._load_first(itertools.chain([newest], older, self._earlier())):
            self._reports = []
        self._reported = len(self._reports)

    def _earlier(self) -> Iterator[Path]:
        """Yield the checkpoints of the trial's earlier sessions, newest first."""
        for folder in reversed(self._resume_from):
            yield from checkpoints(folder)

    def _load_first(self, folders: Iterable[Path]) -> bool:
        """Load the first checkpoint that is whole; whether there was one."""
        for folder in folders:
            try:
                reports = read_reports(folder)
                self._learner.load(folder)
                if reports[-1]["epoch"] != self._learner.epoch:
                    raise CheckpointError(f"{folder}: its results are not those of its state")
            except CheckpointError as error:
                note = f"trial {self._job.id}: skipped a damaged checkpoint: {error}"
                warnings.warn(note, stacklevel=2)
                self._notes.append(note)
                # A load that failed half-way must leave no trace.
                self._learner = self.make_learner()
                continue
            self._reports = reports
            return True
        return False


class SearchTrainable(EpochTrainable):
    """A search, an epoch at a time."""

    @staticmethod
    def build(job: Job) -> Learner:
        """Return the search of a job, with the trial's own number of CPU threads."""
        import torch

        from tune_nas.search import Search

        trial = trial_of(job)
        torch.set_num_threads(trial.runtime.threads)
        return Search(trial)

    @staticmethod
    def remarks(learner: Any) -> dict[str, str]:
        """Return the edges that were decided or taken out, and why the search has ended early."""
        ended = learner.stop_reason if learner.done else None
        words = {DECISIONS: learner.decisions.of_epoch(learner.epoch), ENDED: ended}
        return {key: text for key, text in words.items() if text}

    @staticmethod
    def check(trial: TrialConfig, genotype: str | None = None) -> None:
        """Build the search once: space, data and every part are then known to be good."""
        from tune_nas.search import Search

        Search(_on_cpu(trial))

    @staticmethod
    def check_memory(trial: TrialConfig, genotype: str | None = None) -> None:
        """Estimate what the search takes, without building it."""
        from tune_nas.search.memory import check_search_memory

        check_search_memory(trial)


class RetrainTrainable(EpochTrainable):
    """Training a genotype from scratch, an epoch at a time."""

    @staticmethod
    def build(job: Job) -> Learner:
        """Return the retraining of a job's genotype."""
        import torch

        from tune_nas.retrain import Retrain
        from tune_nas.spaces import Genotype

        trial = trial_of(job)
        torch.set_num_threads(trial.runtime.threads)
        return Retrain(trial, Genotype.parse(job.genotype or ""))

    @staticmethod
    def check(trial: TrialConfig, genotype: str | None = None) -> None:
        """Build the retraining once, or where its genotype is yet to be found, read its data."""
        import torch

        from tune_nas.data import load_data
        from tune_nas.retrain import Retrain
        from tune_nas.retrain.memory import check_retrain_size
        from tune_nas.spaces import Genotype

        if genotype is not None:
            Retrain(_on_cpu(trial), Genotype.parse(genotype))
        else:
            check_retrain_size(trial)
            load_data(trial.data, seed=trial.seed, device=torch.device("cpu"), for_search=False)

    @staticmethod
    def check_memory(trial: TrialConfig, genotype: str | None = None) -> None:
        """Estimate what the retraining takes, without building it."""
        from tune_nas.retrain.memory import check_retrain_memory
        from tune_nas.spaces import Genotype

        check_retrain_memory(trial, None if genotype is None else Genotype.parse(genotype))


def _on_cpu(trial: TrialConfig) -> TrialConfig:
    return library.with_overrides(trial, {"runtime.device": "cpu"})


def trial_of(job: Job) -> TrialConfig:
    """Return a job's trial as a model."""
    return library.stored_trial(job.trial, f"trial {job.id}")


def checkpoints(folder: str, filesystem: Any = None) -> Iterator[Path]:
    """Yield the checkpoints in a trial's folder, newest first; remote ones are fetched in turn.

    Args:
        folder: A local path, or a URI, or a path on the file system.
        filesystem: A pyarrow file system; None for a local path or a URI.
    """
    from pyarrow.fs import FileSelector, FileSystem, LocalFileSystem
    from ray.tune import Checkpoint

    if filesystem is None:
        remote = "://" in folder
        filesystem, folder = FileSystem.from_uri(folder) if remote else (LocalFileSystem(), folder)
    infos = filesystem.get_file_info(FileSelector(folder, allow_not_found=True))
    names = [info.path for info in infos if info.base_name.startswith("checkpoint_")]
    for name in sorted(names, key=_number, reverse=True):
        with Checkpoint(name, filesystem).as_directory() as local:
            yield Path(local)


def read_reports(folder: Path) -> list[dict[str, Any]]:
    """Return the results that a checkpoint holds.

    Raises:
        CheckpointError: If they are absent or damaged.
    """
    try:
        text = (folder / REPORTS).read_text(encoding="utf-8")
        reports: list[dict[str, Any]] = read_stored(list[dict[str, Any]], text)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder / REPORTS}: absent or damaged: {error}") from error
    if not all(isinstance(report.get("epoch"), int | float) for report in reports or [{}]):
        raise CheckpointError(f"{folder / REPORTS}: holds no list of results")
    return reports


def _number(name: str) -> int:
    digits = re.search(r"checkpoint_(\d+)$", name)
    return int(digits.group(1)) if digits else -1
