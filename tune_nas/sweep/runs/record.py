"""The state of one trial: its job, its results so far, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass, field

from tune_nas.report import TrialResult
from tune_nas.status import Status
from tune_nas.sweep.jobs import Job
from tune_nas.sweep.runs.stop_requests import BY_USER


@dataclass
class Record:
    """A job and its results so far.

    Args:
        status: Status of the trial.
        orders: For each epoch of the history, its position among all results of the phase.
        folders: The trial's folders, one per session of the sweep, oldest first. The file contains
            only their names, so that the storage can be moved.
        tracked: Whether MLflow has its end.
        times: When each epoch of the history was recorded, in seconds since 1970; missing in
            records of earlier versions.
        failures: Number of times that it failed and was retried.
        last_error: The last such failure, in one line.
        lasting: Whether a retry would fail in the same way.
        taken: The epoch of the last checkpoint of another trial from which it continued, being the
            same so far; 0 for none.
        taken_from: That trial, after the name of its sweep if that is another one.
        ran_before: Number of epochs until then that it had run itself.
        decided: A digest of everything that decides its results; empty if that is not known.
        made_with: What they depend on besides, from `tune_nas.sweep.made_with`.
    """

    job: Job
    status: Status = Status.RUNNING
    reason: str = ""
    error: str | None = None
    history: list[dict[str, float]] = field(default_factory=list)
    orders: list[int] = field(default_factory=list)
    genotype: str | None = None
    folders: list[str] = field(default_factory=list)
    tracked: bool = False
    times: list[float] = field(default_factory=list)
    failures: int = 0
    last_error: str = ""
    lasting: bool = False
    taken: int = 0
    taken_from: str = ""
    ran_before: int = 0
    decided: str = ""
    made_with: str = ""

    @property
    def ended(self) -> bool:
        """Whether nothing is left to run."""
        return self.status.ended

    @property
    def closed(self) -> bool:
        """Whether it has ended and its end is recorded."""
        return self.status.closed

    @property
    def stopped_by_user(self) -> bool:
        """Whether the user has stopped it, or asked for that; it can be continued."""
        return self.reason.startswith(f"stopped by {BY_USER} ")

    @property
    def epoch(self) -> int:
        """The last epoch that was recorded; 0 for none."""
        return int(self.history[-1]["epoch"]) if self.history else 0

    @property
    def epochs_run(self) -> int:
        """Number of epochs that were run for it, rather than taken over from another trial."""
        return self.ran_before + sum(metrics["epoch"] > self.taken for metrics in self.history)

    @property
    def epochs_left(self) -> int:
        """Maximum number of epochs that it still has to run."""
        done = max(self.epoch, self.job.starts_after, self.taken)
        return 0 if self.ended else max(self.job.epochs - done, 0)

    def value(self, metric: str) -> float | None:
        """Return a metric of the last epoch, or None."""
        return self.history[-1].get(metric) if self.history else None

    def result(self) -> TrialResult:
        """Return the trial's entry in the report and in ``results.json``."""
        unclosed = {Status.RUNNING: Status.FAILED, Status.STOPPING: Status.STOPPED}
        status = unclosed.get(self.status, self.status)
        return TrialResult(
            trial_id=self.job.id,
            phase=self.job.phase,
            parameters=dict(self.job.parameters),
            seed=self.job.seed,
            status=status,
            reason=self.reason,
            metrics=dict(self.history[-1]) if self.history else {},
            history=list(self.history),
            genotype=self.genotype,
            error=self.error,
            parent=self.job.inputs.parent,
        )

    def explain(self, error: str, *, lasting: bool = False) -> None:
        """Note why it failed, once that is known.

        Args:
            error: The error, in one line.
            lasting: Whether a retry would fail in the same way.
        """
        self.error = self.reason = error
        self.lasting = lasting

    def retried(self, failures: int, error: str) -> None:
        """Note that it failed, so many times by now, and is retried."""
        self.failures, self.last_error = failures, error

    def reopen(self) -> None:
        """Let a failed trial continue from its newest checkpoint."""
        self.status, self.reason, self.error = Status.RUNNING, "", None
        self.tracked = False
