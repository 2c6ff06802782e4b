"""The status of a trial in the records, in the results and in MLflow."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """The status of a trial.

    ``STOPPING``: the scheduler has stopped it; its end is not yet recorded.
    """

    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped early"
    FINISHED = "finished"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Whether there is nothing left to run."""
        return self is not Status.RUNNING

    @property
    def closed(self) -> bool:
        """Whether the trial has ended and its end is recorded."""
        return self not in (Status.RUNNING, Status.STOPPING)

    @property
    def of_mlflow(self) -> str:
        """MLflow's status of a closed trial's run; MLflow has none for one stopped early."""
        return "FAILED" if self is Status.FAILED else "FINISHED"


RESULT_STATUSES = (Status.FINISHED, Status.STOPPED, Status.FAILED)
"""Statuses of a trial that has ended."""
