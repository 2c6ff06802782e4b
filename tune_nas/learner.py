"""The interface of every task's work: epochs, a result, files, checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

DECISIONS = "decisions"  # remark: the decisions of an epoch
ENDED = "ended"  # remark: why a learner stops early


class Result(Protocol):
    """The result of a learner, usually a `tune_nas.spaces.Genotype`."""

    def to_yaml(self) -> str:
        """Return it as YAML."""


class Learner(Protocol):
    """The work of one trial, epoch by epoch.

    If it is killed after any epoch and loaded from that epoch's checkpoint, it must give the same
    result as without interruption.
    """

    @property
    def epoch(self) -> int:
        """Number of completed epochs."""

    @property
    def done(self) -> bool:
        """Whether all epochs were run."""

    def run_epoch(self, on_step: Callable[[int, int], None] | None = None) -> Mapping[str, object]:
        """Run one epoch and return its metrics, including ``epoch``.

        Args:
            on_step: Called after each step with its number and the number of steps.
        """

    def result(self) -> Result | None:
        """Return the current result, or the genotype in training; None if there is none."""

    def remarks(self) -> Mapping[str, str]:
        """Return the remarks on the last epoch: `DECISIONS`, `ENDED`."""

    def artifacts(self) -> Mapping[str, str | bytes]:
        """Return the human-readable files by name: tables and genotypes, text or bytes.

        `save` writes them next to the state; they are tracked when the trial ends.
        """

    def save(self, folder: Path) -> None:
        """Write the complete state and the artifacts to a folder (`tune_nas.checkpoint`)."""

    def load(self, folder: Path) -> None:
        """Restore the state from a folder.

        Raises:
            CheckpointError: If it is damaged or of another trial.
        """
