"""MLflow's tags for who started a run, by which command, and from which commit."""

from __future__ import annotations

import getpass
from pathlib import Path

from tune_nas.invocation import command_line, commit_of, package_folder

USER, SOURCE, SOURCE_TYPE = "mlflow.user", "mlflow.source.name", "mlflow.source.type"
COMMIT = "mlflow.source.git.commit"


def source_tags() -> dict[str, str]:
    """Return the tags of this process; what is not known is left out.

    The command has no secrets. The commit is that of the checkout that this package is imported
    from, if it is; otherwise, that of the working directory.
    """
    tags = {SOURCE: command_line() or "python", SOURCE_TYPE: "LOCAL"}
    user, commit = _user(), commit_of(package_folder() or Path.cwd())
    return tags | ({USER: user} if user else {}) | ({COMMIT: commit} if commit else {})


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user id without a name, e.g. in a container
        return None
