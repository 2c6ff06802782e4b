"""The abstract base class of all tasks, and the inputs of a job besides its trial."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

from tune_nas.config.decides import Decides

if TYPE_CHECKING:
    from tune_nas.config import TrialConfig
    from tune_nas.learner import Learner


@dataclass(frozen=True)
class Inputs:
    """The inputs of a job that come from elsewhere.

    Args:
        genotype: Genotype to retrain, as YAML or in another notation.
        parent: Id of the trial that the genotype or the checkpoint comes from.
        parent_run: MLflow run of that trial, if it is not in this sweep.
        checkpoint: Folder or URI of a checkpoint that the job continues from while it has none
            itself, e.g. of another job that is to run for more epochs.
        folders: The trial's folders or URIs, one per session, oldest first, in which its
            checkpoints are; known only while the trial runs.
        watched: Trials that are to start from its checkpoints, and need more in them than those of
            the trial itself; known only while the trial runs.
    """

    genotype: str | None = None
    parent: str | None = None
    parent_run: str | None = None
    checkpoint: str | None = None
    folders: tuple[str, ...] = ()
    watched: tuple[TrialConfig, ...] = ()

    def to_dict(self) -> dict[str, str | None]:
        """Return the inputs that are known before the trial runs, by name."""
        running = ("folders", "watched")
        names = [each.name for each in fields(self) if each.name not in running]
        return {name: getattr(self, name) for name in names}


def on_cpu(trial: TrialConfig) -> TrialConfig:
    """Return a trial that runs on the CPU; it is not validated again."""
    runtime = trial.runtime.model_copy(update={"device": "cpu"})
    return trial.model_copy(update={"runtime": runtime})


def with_workers(trial: TrialConfig, workers: int | None) -> TrialConfig:
    """Return a trial with another number of workers; None keeps it. It is not validated again."""
    if workers is None:
        return trial
    runtime = trial.runtime.model_copy(update={"workers": workers})
    return trial.model_copy(update={"runtime": runtime})


class Task(ABC):
    """A kind of work: it returns the length of a trial, checks it, and builds its learner.

    A custom task is named ``module:Class``; the class takes no arguments.

    Attributes:
        name: Its name.
        section: The section of a trial that the task reads.
        starts: The mark of the keys that decide whether a trial can be built.
        metric: Metric by which its trials are shown and ranked; None for the metric of the sweep.
        finds_genotypes: Whether it finds genotypes, rather than training a given one.
        shares_process: Whether several of its trials may run in one process.
    """

    name: ClassVar[str]
    section: ClassVar[str]
    starts: ClassVar[Decides] = Decides.SEARCH_STARTS | Decides.RETRAIN_STARTS
    metric: ClassVar[str | None] = None
    finds_genotypes: ClassVar[bool] = True
    shares_process: ClassVar[bool] = False

    @abstractmethod
    def epochs(self, trial: TrialConfig) -> int:
        """Return the number of the last epoch of a trial that runs to its end."""

    def starts_after(self, trial: TrialConfig) -> int:
        """Return the epoch that a trial continues from; 0 for a trial from scratch."""
        return 0

    def workers(self, trial: TrialConfig) -> int:
        """Return the number of processes that run a trial together; usually 1.

        Each of them joins a process group of `torch.distributed` and builds the learner. The result
        and the checkpoints are those of the first; a checkpoint is loaded by all.
        """
        return 1

    def check(self, trial: TrialConfig, inputs: Inputs) -> None:
        """Build the trial once, on the CPU, to check that it can start.

        Args:
            trial: The trial.
            inputs: Its inputs; those that are not known yet are None.

        Raises:
            TuneNasError: If the trial cannot start; one line, from the part that rejects it.
        """
        self.build(on_cpu(trial), inputs)

    def check_memory(self, trial: TrialConfig, inputs: Inputs) -> None:  # noqa: B027 (optional)
        """Check that a trial fits into the memory of this machine.

        Args:
            trial: The trial, which is to run on this machine.
            inputs: Its inputs; those that are not known yet are None.

        Raises:
            ConfigError: If it does not fit.
        """

    def memory(self, trial: TrialConfig, inputs: Inputs) -> int | None:
        """Return about how many bytes a trial takes at most besides its process; None if unknown.

        Args:
            trial: The trial.
            inputs: Its inputs; those that are not known yet are None.
        """
        return None

    def course(self, trial: TrialConfig) -> Sequence[str]:
        """Return a text for each epoch of a trial; empty, the default, if none can be given.

        Trials with equal inputs whose texts of an epoch are equal have equal states after it, bit
        for bit: their texts of all earlier epochs are equal, too. Each of them can start from a
        checkpoint that the other one has made by then, see `Inputs.watched`.
        """
        return ()

    def must_be_watched(self, trial: TrialConfig) -> bool:
        """Return whether a trial can only start from the checkpoint of one that watched for it."""
        return False

    @abstractmethod
    def build(self, trial: TrialConfig, inputs: Inputs, together: Any = None) -> Learner:
        """Return the learner of a trial.

        Args:
            trial: The trial.
            inputs: Its inputs.
            together: State shared by the trials of a process; None for a process with one trial.

        Raises:
            TuneNasError: If it cannot be built.
        """


Tasks = Mapping[str, Task]
"""Tasks by name, which replace those that jobs name."""
