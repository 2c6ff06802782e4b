"""The protocol for writing the runs of sweeps to a store."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from tune_nas.spaces import Genotype, Space


class Tracker(Protocol):
    """Writes the runs of sweeps. Used by the driver only: trials never write to the store.

    Any method may raise the error of the store, if it cannot be reached or refuses the request.
    """

    def sweep_run(
        self,
        name: str,
        parameters: Mapping[str, object],
        tags: Mapping[str, str] | None = None,
        *,
        identity: str | None = None,
        data: Mapping[str, object] | None = None,
    ) -> str:
        """Return the id of the sweep's parent run: found and reopened, or created.

        Args:
            name: Name of the sweep.
            parameters: Its settings, nested mappings allowed.
            tags: Further tags.
            identity: Any text stored with the sweep. It distinguishes two sweeps of the same name
                in a shared store; None finds by name alone.
            data: The section ``data`` of its trials; None if it is not known.
        """

    def trial_run(
        self,
        sweep_run_id: str,
        trial_id: str,
        *,
        phase: str,
        parameters: Mapping[str, object],
        tags: Mapping[str, str] | None = None,
        parent: str | None = None,
        name: str | None = None,
    ) -> str:
        """Return the id of a trial's run: found and reopened, or created.

        Args:
            sweep_run_id: The sweep's run.
            trial_id: Id of the trial, kept across a resume.
            phase: ``search``, ``repeat`` or ``retrain``.
            parameters: All settings of the trial, nested mappings allowed. They are logged once, as
                dotted keys with values as text, and as ``parameters.yaml``.
            tags: Further tags.
            parent: Run under which it is nested (the search, for a retraining run); None for the
                sweep's.
            name: Name in the run table; None for phase and trial id.
        """

    def logged_epochs(self, run_id: str, history: Sequence[Mapping[str, float]]) -> Collection[int]:
        """Return the epochs of a run that the store has; requested once, then cached.

        Args:
            run_id: The run.
            history: The metrics of each epoch that it may have, with ``epoch``.
        """

    def log_epoch(
        self, run_id: str, step: int, metrics: Mapping[str, float], time_ms: int | None = None
    ) -> bool:
        """Log an epoch's metrics in one call, unless the store has that epoch already.

        Args:
            run_id: The run.
            step: The epoch.
            metrics: Its metrics; a name that the store does not accept is made legal. ``epoch`` is
                not a metric in the store, but the step of the others.
            time_ms: When it ended, in milliseconds since 1970. Pass the same time whenever the
                epoch is logged again: the store then has it once, even if an earlier request
                arrives late. None for the current time.

        Returns:
            Whether it was logged; False if the store has it.
        """

    def log_genotype(self, run_id: str, genotype: Genotype, space: Space) -> None:
        """Log a genotype: a YAML artifact, the tag in the run table, and drawings of its cells."""

    def log_alphas(self, run_id: str, csv: Path | bytes) -> None:
        """Log the α history: the unchanged table, and a plot of it."""

    def log_artifact(self, run_id: str, content: Path | bytes, name: str) -> None:
        """Log a file or bytes under a name, which may contain folders (``cells/normal.svg``)."""

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags of a run."""

    def finish(
        self,
        run_id: str,
        status: str = "FINISHED",
        error: str | None = None,
        *,
        outcome: str | None = None,
        reason: str = "",
    ) -> None:
        """Close a run.

        Args:
            run_id: The run.
            status: FINISHED, FAILED or KILLED.
            error: The error in one line; becomes the tag ``error``.
            outcome: The tag ``status``; None for finished, failed or interrupted.
            reason: Why it ended so; becomes the tag ``reason``.

        Raises:
            ValueError: If the status is not one of the three.
        """

    def forget(self) -> None:
        """Clear the cache of the store: after a failed request it may be wrong."""
