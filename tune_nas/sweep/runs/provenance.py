"""The sessions of a run: command line, code, versions, machine and data, kept in its folder.

Facts that cannot be found out are left out: nothing here ends a sweep.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tune_nas.errors import StorageError
from tune_nas.invocation import (
    cleaned,
    command_line,
    commit_of,
    is_changed,
    output_of,
    package_folder,
)
from tune_nas.report.run_details import Session
from tune_nas.sweep.runs.storage import Storage
from tune_nas.sweep.runs.stored import read_stored
from tune_nas.version import __version__

PROVENANCE = "provenance.json"

_LIBRARIES = ("torch", "torchvision", "numpy", "scikit-learn", "ray", "optuna", "mlflow")
_VARIABLES = (
    *("TUNE_NAS_STORAGE", "TUNE_NAS_BENCHMARK", "MLFLOW_TRACKING_URI", "RAY_ADDRESS"),
    *("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS"),
)
_GIB = 2**30

_logger = logging.getLogger(__name__)


@contextmanager
def recorded_session(
    storage: Storage, *, resumed: bool, address: str | None, data: Sequence[str] = ()
) -> Iterator[None]:
    """Record a session of a run in its folder: at the start of the block, and its end after it.

    Args:
        storage: The folder of the run.
        resumed: Whether an earlier session began the run.
        address: Address of the Ray cluster; None for this machine.
        data: A line for each data set.
    """
    started = time.time()
    try:
        session = asdict(this_session(started, resumed=resumed, address=address, data=data))
    except Exception as error:  # the facts of a machine may be unreadable in any way
        _logger.warning("the provenance is incomplete: %s", error)
        session = asdict(Session(started, resumed=resumed))
    _write(storage, session)
    outcome = "finished"
    try:
        yield
    except KeyboardInterrupt:
        outcome = "interrupted"
        raise
    except BaseException as error:
        outcome = f"ended by {type(error).__name__}"
        raise
    finally:
        _write(storage, {**session, "ended": time.time(), "outcome": outcome})


def record_end(storage: Storage, outcome: str) -> None:
    """Record the end of the session that has started last, unless it is recorded already."""
    entries = _entries(storage)
    if entries and entries[-1].get("ended") is None:
        _write(storage, {**entries[-1], "ended": time.time(), "outcome": outcome})


def read_sessions(storage: Storage) -> tuple[Session, ...]:
    """Return the sessions of a run, oldest first; those that cannot be read are left out."""
    sessions = []
    for entry in _entries(storage):
        with suppress(ValueError, TypeError):
            sessions.append(Session(**read_stored(Session, json.dumps(entry))))
    return tuple(sessions)


def this_session(
    started: float, *, resumed: bool, address: str | None, data: Sequence[str]
) -> Session:
    """Return the facts about this process, as a session that has not ended."""
    variables = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
    checkout = package_folder()
    return Session(
        started,
        resumed=resumed,
        command=command_line(),
        folder=str(Path.cwd()),
        environment={name: cleaned(value) for name, value in variables.items()},
        commit=commit_of(checkout),
        changed=is_changed(checkout),
        versions=_versions(),
        hardware=_hardware(),
        address=cleaned(address or ""),
        data=list(data),
    )


def _write(storage: Storage, session: Mapping[str, object]) -> None:
    """Add a session to the file, or replace the one that started at the same time."""
    try:
        entries = [each for each in _entries(storage) if each["started"] != session["started"]]
        content = json.dumps([*entries, session], indent=1, ensure_ascii=False)
        storage.write(PROVENANCE, content)
    except (StorageError, ValueError) as error:
        _logger.warning("the provenance is not written: %s", error)


def _entries(storage: Storage) -> list[dict[str, object]]:
    try:
        content = json.loads(storage.read(PROVENANCE) or "[]")
    except (StorageError, ValueError, RecursionError):
        return []
    entries = content if isinstance(content, list) else []
    return [entry for entry in entries if isinstance(entry, dict) and "started" in entry]


def _versions() -> dict[str, str]:
    found = {"tune-nas": __version__, "Python": platform.python_version()}
    for name in _LIBRARIES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _hardware() -> dict[str, str]:
    """Return the properties of this machine that affect results and times, as text."""
    found = {"cpu": _cpu(), "cores": f"{os.cpu_count() or '?'} cores"}
    with suppress(AttributeError, ValueError, OSError):  # Windows has no sysconf
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        found["memory"] = f"{memory / _GIB:.0f} GiB memory"
    gpus = [line.strip() for line in _gpus().splitlines() if line.strip()]
    for name in dict.fromkeys(gpus):
        found[f"gpu {name}"] = f"{gpus.count(name)} × {name}"
    if not gpus:
        found["gpu"] = "no GPU"
    found["system"] = platform.platform(terse=True)
    return found


def _cpu() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return " ".join(value.split())
    return platform.processor() or platform.machine()


def _gpus() -> str:
    """Return a line for each GPU, without starting CUDA in this process."""
    if shutil.which("nvidia-smi") is None:
        return ""
    return output_of("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")
