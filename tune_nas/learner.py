"""What every task's work looks like from outside: epochs, a result, files, checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

DECISIONS = "decisions"  # remark: what was decided in an epoch
ENDED = "ended"  # remark: why a learner ends before its last epoch


class Result(Protocol):
    """What a learner has come to; a `tune_nas.spaces.Genotype`, as a rule."""

    def to_yaml(self) -> str:
        """Return it as YAML."""


class Learner(Protocol):
    """The work of one trial, an epoch at a time.

    Killed after any epoch and loaded from the checkpoint of that epoch, it must end as if it had
    run through.
    """

    @property
    def epoch(self) -> int:
        """Number of completed epochs."""

    @property
    def done(self) -> bool:
        """Whether the last epoch was run."""

    def run_epoch(self, on_step: Callable[[int, int], None] | None = None) -> Mapping[str, Any]:
        """Run one epoch and return its metrics, ``epoch`` among them.

        Args:
            on_step: Called after each step with its number and the number of steps.
        """

    def result(self) -> Result | None:
        """Return what was found so far, or what is trained; None if there is nothing to show."""

    def remarks(self) -> Mapping[str, str]:
        """Return what there is to say about the last epoch: `DECISIONS`, `ENDED`."""

    def artifacts(self) -> Mapping[str, str | bytes]:
        """Return the files that people read, by name: tables and genotypes, text or bytes.

        `save` writes them beside the state; they are tracked when the trial has ended.
        """

    def save(self, folder: Path) -> None:
        """Write the whole state, and the artifacts, into a folder (`tune_nas.checkpoint`)."""

    def load(self, folder: Path) -> None:
        """Restore the state from a folder.

        Raises:
            CheckpointError: If it is damaged, or of another trial.
        """
