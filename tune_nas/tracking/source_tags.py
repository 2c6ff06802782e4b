"""MLflow's tags for who started a run, by which command, and from which commit."""

from __future__ import annotations

import getpass
import shlex
import subprocess
import sys
from pathlib import Path

USER, SOURCE, SOURCE_TYPE = "mlflow.user", "mlflow.source.name", "mlflow.source.type"
COMMIT = "mlflow.source.git.commit"
_SECONDS = 5.0


def source_tags() -> dict[str, str]:
    """Return the tags of this process; what is not known is left out.

    The commit is that of the repository that this package is developed in, if it is; otherwise,
    that of the working directory.
    """
    program = Path(sys.argv[0])
    name = program.name if program.is_absolute() else sys.argv[0]
    tags = {SOURCE: shlex.join([name or "python", *sys.argv[1:]]), SOURCE_TYPE: "LOCAL"}
    user, commit = _user(), _commit()
    return tags | ({USER: user} if user else {}) | ({COMMIT: commit} if commit else {})


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user id without a name, e.g. in a container
        return None


def _commit() -> str | None:
    package = Path(__file__).resolve().parents[2]
    folder = package if (package / ".git").exists() else Path.cwd()
    command = ["git", "-C", str(folder), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
