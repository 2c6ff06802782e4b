"""How a trial ended, in words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ray.tune.experiment import Trial

_LENGTH = 300


def stop_reason(
    scheduler: str, epoch: int, epochs: int, rank_by: str, value: float | None = None
) -> str:
    """Say who stopped a trial, when and at what metric."""
    at = "" if value is None else f", at {rank_by} {value:.4g}"
    return f"stopped by {scheduler} after epoch {epoch} of {epochs}{at}"


def error_line(trial: Trial) -> str:
    """Return a failed Ray trial's error as one line: its type and message, no traceback."""
    error: Any = None
    try:
        error = trial.get_pickled_error() or trial.get_error()
    except Exception as unreadable:  # a class that this process cannot import, a lost disk
        return f"the error cannot be read: {type(unreadable).__name__}"
    return "no error was recorded" if error is None else summarise_error(error)


def summarise_error(error: BaseException | str) -> str:
    """Return an error, or a traceback's text, as one line: its type and message.

    Ray wraps what a trial raised in an error of its own whose text ends with the traceback.
    """
    cause = getattr(error, "cause", None)
    if isinstance(cause, BaseException):
        error = cause
    text = str(error)
    raised = re.findall(r"^(?:\w+\.)*(\w+(?:Error|Exception|Interrupt|Exit)): (.*)$", text, re.M)
    if "Traceback" in text and raised:
        line = ": ".join(raised[-1])
    else:
        first = next((line.strip() for line in text.splitlines() if line.strip()), "")
        kind = "" if isinstance(error, str) else type(error).__name__
        line = f"{kind}: {first}" if kind and first else kind or first
    line = line.strip()
    return line if len(line) <= _LENGTH else line[: _LENGTH - 1] + "…"
