"""Descriptions of how a trial ended."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from tune_nas.errors import TuneNasError
from tune_nas.text import brief, printable

if TYPE_CHECKING:
    from tune_nas.sweep.ray.driver_callback import RayTrial

_LENGTH = 300
_COLORS = re.compile(r"\x1b\[[0-9;]*m")
_FRAME = re.compile(r'^\s+File "', re.M)  # Ray omits the line "Traceback …"


def stop_reason(
    scheduler: str, epoch: int, epochs: int, rank_by: str, value: float | None = None
) -> str:
    """Return by whom a trial was stopped, when and at which metric."""
    at = "" if value is None else f", at {rank_by} {value:.4g}"
    return f"stopped by {scheduler} after epoch {epoch} of {epochs}{at}"


def fails_again(error: object) -> bool:
    """Return whether a trial with this error would only fail in the same way again."""
    return isinstance(error, TuneNasError) and not error.passing


def error_line(trial: RayTrial) -> str:
    """Return a failed Ray trial's newest error as one line: its type and message, no traceback."""
    try:
        # Ray copies this file to the storage only later; a resumed driver finds it only there.
        local = Path(trial.error_file) if trial.error_file else None
        on_disk = local is not None and local.is_file()
        text = local.read_text("utf-8") if local and on_disk else str(trial.get_error() or "")
    except OSError as unreadable:
        return f"the error cannot be read: {unreadable}"
    newest = re.split(r"^Failure # \d+ \(occurred at .*\)$", text, flags=re.M)[-1]
    return summarize_error(newest) if newest.strip() else "no error was recorded"


def summarize_error(error: BaseException | str) -> str:
    """Return an error, or a traceback's text, as one line: its type and message.

    Ray wraps the error of a trial in one whose text ends with the traceback.
    """
    cause = getattr(error, "cause", None)
    if isinstance(cause, BaseException):
        error = cause
    text = _COLORS.sub("", str(error))
    raised = re.findall(r"^(?:\w+\.)*(\w+(?:Error|Exception|Interrupt|Exit)): (.*)$", text, re.M)
    if raised and _FRAME.search(text):
        line = ": ".join(raised[-1])
    else:
        first = next((line.strip() for line in text.splitlines() if line.strip()), "")
        kind = "" if isinstance(error, str) else type(error).__name__
        line = f"{kind}: {first}" if kind and first else kind or first
    return brief(printable(line.strip()), _LENGTH)
