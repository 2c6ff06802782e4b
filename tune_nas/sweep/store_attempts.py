"""Requests to an MLflow store that may be down: none of them ends the sweep."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from tune_nas.tracking.store import is_refusal, one_line

_logger = logging.getLogger(__name__)

# After a failure the store is not contacted for a while: each call to a lost server takes
# seconds, in which no trial would make progress.
_PAUSE_SECONDS = 30.0


class StoreAttempts:
    """Tries requests, pauses after an outage, and remembers the last problem of each.

    Args:
        forget: Called after a failure, since what is known about the store may then be wrong.
    """

    def __init__(self, forget: Callable[[], None]) -> None:
        self._forget = forget
        self._paused_until = 0.0
        self._problems: dict[str, str] = {}

    @property
    def paused(self) -> bool:
        """Whether the store is not contacted at the moment."""
        return time.monotonic() < self._paused_until

    def resume(self) -> None:
        """End the pause."""
        self._paused_until = 0.0

    def attempt(self, what: str, action: Callable[[], object]) -> bool:
        """Send a request; a refused one is not followed by a pause.

        Args:
            what: Id of the trial; empty for the sweep's own run.
            action: The request.

        Returns:
            Whether it succeeded.
        """
        try:
            action()
        except Exception as error:  # MLflow's stores raise different errors; none may end the sweep
            self._forget()
            if not is_refusal(error):
                self._paused_until = time.monotonic() + _PAUSE_SECONDS
            line = one_line(error)
            if self._problems.get(what) != line:
                _logger.warning("MLflow, %s: %s", what or "the sweep's run", line)
            self._problems[what] = line
            return False
        self._problems.pop(what, None)
        return True

    def reason(self, known: Sequence[str]) -> str:
        """Return the problem of the last of the given ones that has one; empty if none has."""
        return next(
            (self._problems[what] for what in reversed(known) if what in self._problems), ""
        )
