"""The one line that a command prints about an error that a user can fix."""

from __future__ import annotations

from tune_nas.cli.flags import with_flags
from tune_nas.cli.key_hint import key_hint
from tune_nas.errors import TuneNasError
from tune_nas.library import plain_rule
from tune_nas.text import brief, printable

_LONGEST_LINE = 2000


def error_line(error: Exception) -> str | None:
    """Return the message of a user's error; None for an internal error."""
    if isinstance(error, TuneNasError):
        message = with_flags(str(error))
    elif hasattr(error, "format_message"):  # typer's error about an option or argument
        start, colon, rule = str(error.format_message()).rstrip(".").partition(": ")
        rule = plain_rule(rule.removeprefix("Value error, "))
        message = start[:1].lower() + start[1:] + colon + rule + key_hint(error)
    elif isinstance(error, OSError):  # a full disk, a closed port, a missing permission
        message = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    else:
        return None
    return brief(printable(" ".join(message.split())), _LONGEST_LINE)
