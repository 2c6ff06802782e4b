"""The abstract base of all tasks, and what a job gives to one besides its trial."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from tune_nas.config.decides import Decides
from tune_nas.library import with_overrides

if TYPE_CHECKING:
    from tune_nas.config import TrialConfig
    from tune_nas.learner import Learner


@dataclass(frozen=True)
class Inputs:
    """What a job takes from elsewhere.

    Args:
        genotype: What a retraining run trains, as YAML or in another notation.
        parent: Id of the trial that the genotype or the checkpoint comes from.
        parent_run: MLflow run of that trial, where it is not of this sweep.
        checkpoint: Folder or URI of a checkpoint that the job continues from while it has none
            itself, e.g. of another job that is to run for more epochs.
    """

    genotype: str | None = None
    parent: str | None = None
    parent_run: str | None = None
    checkpoint: str | None = None


class Task(ABC):
    """A kind of work: it tells how long a trial takes, checks it, and builds its learner.

    A task of your own is named ``module:Class``; the class takes no arguments.

    Attributes:
        name: Its name.
        section: The section of a trial that is its own.
        starts: The mark of the keys that decide whether a trial can be built.
        metric: What its trials are shown and ranked by; None for the metric of the sweep.
        finds_genotypes: Whether it finds genotypes, rather than training one that is given.
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
        """Return the number of the last epoch if a trial runs to its end."""

    def starts_after(self, trial: TrialConfig) -> int:
        """Return the epoch that a trial continues from; 0 for a trial from scratch."""
        return 0

    def check(self, trial: TrialConfig, inputs: Inputs) -> None:
        """Raise an error of one line if a trial cannot start: build it once, on the CPU.

        Args:
            trial: The trial.
            inputs: What it is given; what is not known yet is None.

        Raises:
            TuneNasError: What the parts of the trial say.
        """
        self.build(with_overrides(trial, {"runtime.device": "cpu"}), inputs)

    def check_memory(self, trial: TrialConfig, inputs: Inputs) -> None:  # noqa: B027 (optional)
        """Raise an error of one line if a trial cannot fit into the memory of this machine.

        Args:
            trial: The trial, which is to run here.
            inputs: What it is given; what is not known yet is None.

        Raises:
            ConfigError: If it does not fit.
        """

    @abstractmethod
    def build(self, trial: TrialConfig, inputs: Inputs, together: Any = None) -> Learner:
        """Return the learner of a trial.

        Args:
            trial: The trial.
            inputs: What it is given.
            together: What the trials of a shared process have in common; None for a process of
                one trial.

        Raises:
            TuneNasError: If it cannot be built.
        """
