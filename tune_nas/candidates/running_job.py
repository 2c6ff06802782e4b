"""A job of a strategy while its candidate is trained, and what an epoch of it gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from tune_nas.checkpoint import State
from tune_nas.retrain import Retrain
from tune_nas.strategies import Request


class EpochResult(NamedTuple):
    """The result of a candidate's epoch.

    Args:
        metrics: The metrics of its training; None if it has diverged.
        error: Why it has failed; empty if it has not.
        epochs: Number of epochs; more than 1 if a whole job is simulated.
    """

    metrics: Mapping[str, float] | None
    error: str = ""
    epochs: int = 1


@dataclass
class RunningJob:
    """A job in training.

    Args:
        request: The job.
        trained: Epochs for which its candidate has been trained so far.
        accuracy: The validation accuracy after the last of them; None before the job's first.
        training: Its training; None before its first epoch, and where another process trains it.
        state: Its state in a checkpoint that was loaded, or from another process.
    """

    request: Request
    trained: int
    accuracy: float | None = None
    training: Retrain | None = None
    state: State | None = None

    def to_state(self) -> State:
        """Return plain containers and tensors from which `restored` makes the job."""
        state = self.state if self.training is None else self.training.state_dict()
        return {
            "request": self.request.number,
            "trained": self.trained,
            "accuracy": self.accuracy,
            "state": state,
        }

    @classmethod
    def restored(cls, state: State, request: Request) -> RunningJob:
        """Return the job that `to_state` described, given its request."""
        return cls(request, state["trained"], state["accuracy"], state=state["state"])
