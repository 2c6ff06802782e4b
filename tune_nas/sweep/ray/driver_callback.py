"""The base class of a sweep's callbacks, and the interface of the Ray trials that they read."""

from __future__ import annotations

from typing import Any, Protocol

from ray.tune import Callback

RayResult = dict[str, Any]
"""The result of a trial's step, with the entries that Ray adds."""


class RayTrial(Protocol):
    """A trial of Ray, which is a `tune_nas.sweep.ray.queue.JobTrial`."""

    trial_id: str
    num_failures: int
    fails_again: bool

    @property
    def error_file(self) -> str | None:
        """The file with its errors."""

    def get_error(self) -> Exception | None:
        """Return its newest error."""


class DriverCallback(Callback):  # type: ignore[misc]
    """A callback whose state is in the records."""

    def __getstate__(self) -> dict[str, object]:
        """Leave everything out: Ray pickles this with the experiment, but it is never read."""
        return {}
