"""How this process was started: its command line without secrets, and the commit of its code."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_SECONDS = 5.0
# user:password@ of a URI, whatever the password contains, and arguments named like a secret
_PASSWORD = re.compile(r"(\w://[^\s/:@]*):\S*@")
_SECRET = re.compile(
    r"((?:password|passwd|secret|token|credential|api_?key|access_?key)\w*[=:])[^\s&'\"]+", re.I
)
_SECRET_OPTION = re.compile(r"-.*(?:password|passwd|secret|token|credential|key)$", re.I)


def command_line() -> str:
    """Return the command line of this process for a shell, without secrets; empty if unknown."""
    if not sys.argv:
        return ""
    program = Path(sys.argv[0])
    module = program.name == "__main__.py"
    started = ["python", "-m", program.parent.name] if module else [program.name]
    return without_secrets([*started, *sys.argv[1:]])


def without_secrets(arguments: Sequence[str]) -> str:
    """Return a command line for a shell, without the passwords of URIs and of options."""
    shown: list[str] = []
    hidden = False
    for argument in arguments:
        shown.append("…" if hidden else shlex.quote(cleaned(argument)))
        hidden = _SECRET_OPTION.fullmatch(argument) is not None
    return " ".join(shown)


def cleaned(text: str) -> str:
    """Return a text without the passwords of URIs and the values of words like ``token=``."""
    return _SECRET.sub(r"\1…", _PASSWORD.sub(r"\1:…@", text))


def package_folder() -> Path | None:
    """Return the checkout that this package is imported from; None if it is installed."""
    folder = Path(__file__).resolve().parents[1]
    return folder if (folder / ".git").exists() else None


def commit_of(folder: Path | None) -> str:
    """Return the commit that is checked out in a folder; empty if there is none."""
    return "" if folder is None else output_of("git", "-C", str(folder), "rev-parse", "HEAD")


def is_changed(folder: Path | None) -> bool:
    """Return whether a checkout has changes that are not committed, new files left out."""
    if folder is None:
        return False
    own = ("-c", "core.fsmonitor=false", "--no-optional-locks", "status", "--porcelain")
    return bool(output_of("git", "-C", str(folder), *own, "--untracked-files=no"))


def output_of(*command: str) -> str:
    """Return the output of a command; empty if it fails or takes more than five seconds."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
