"""MLflow's tags for who started a run, by which command, and from which commit."""

from __future__ import annotations

import getpass
import shlex
from itertools import takewhile
from pathlib import Path

from tune_nas.invocation import command_line, commit_of, package_folder

USER, SOURCE, SOURCE_TYPE = "mlflow.user", "mlflow.source.name", "mlflow.source.type"
COMMIT = "mlflow.source.git.commit"
COMMAND = "tune_nas.command"


def source_tags() -> dict[str, str]:
    """Return the tags of this process, without those that are unknown.

    The source is the command up to its first option, with names instead of paths, because MLflow's
    UI shows only what follows the last slash. Another tag has the whole command, without secrets.
    The commit is the one of the checkout from which this package is imported, or else of the
    working directory.
    """
    command = command_line() or "python"
    tags = {SOURCE: _short(command), SOURCE_TYPE: "LOCAL", COMMAND: command}
    user, commit = _user(), commit_of(package_folder() or Path.cwd())
    return tags | ({USER: user} if user else {}) | ({COMMIT: commit} if commit else {})


def _short(command: str) -> str:
    """Return a command up to its first option, with the names of its paths."""
    words = takewhile(lambda word: not word.startswith("-"), shlex.split(command))
    return " ".join(word.rstrip("/").rpartition("/")[2] for word in words) or "python"


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user id without a name, e.g. in a container
        return None
