"""Checks of everything that runs need on this machine, with a remedy for each problem."""

from __future__ import annotations

import logging
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory

import ray
import torch
from packaging.requirements import InvalidRequirement, Requirement

from tune_nas import library
from tune_nas.benchmark import find_table, user_table
from tune_nas.config import DataConfig
from tune_nas.data.opening import open_part
from tune_nas.errors import TuneNasError
from tune_nas.native import build
from tune_nas.sweep.manage.run_summaries import run_status
from tune_nas.sweep.options import storage_option
from tune_nas.sweep.ray.cluster import connect
from tune_nas.sweep.ray.environment import is_local
from tune_nas.sweep.runs.plan import read_states
from tune_nas.sweep.runs.storage import Storage
from tune_nas.sweep.runs.store_uri import store_exists, store_uri
from tune_nas.tracking import Experiment
from tune_nas.tracking.store import without_password

OK, NOTE, PROBLEM = "ok", "note", "problem"
"""Works; works, but something may not be as intended; does not work."""
_LITTLE = 2 * 1024**3  # bytes of free space
_SHOWN = ("torch", "ray", "optuna", "mlflow")
_PROBE = ".tune-nas-doctor-"  # prefix of a file that is written and removed
_PACKAGE = "tune-nas"


@dataclass(frozen=True)
class Checkup:
    """The state of one thing that runs need.

    Args:
        subject: The thing.
        status: `OK`, `NOTE` or `PROBLEM`.
        found: What was found.
        remedy: How to mend it; empty if it works.
    """

    subject: str
    status: str
    found: str
    remedy: str = ""


@dataclass(frozen=True)
class Surroundings:
    """Where runs are to be executed.

    Args:
        storage: Folder or URI in which runs are stored.
        mlflow: URI of the MLflow store; None for that of the storage.
        address: Address of a Ray cluster; None for this machine.
        data: The data set; None for the embedded digits.
        data_dir: Folder of its files; None without one.
        quick: Whether to leave out what takes long: starting Ray, compiling the kernels.
    """

    storage: str = "runs"
    mlflow: str | None = None
    address: str | None = None
    data: str | None = None
    data_dir: str | None = None
    quick: bool = False


def check_up(where: Surroundings) -> Iterator[Checkup]:
    """Yield the state of everything that runs need, one after the other."""
    yield _packages()
    yield _guarded("storage", lambda: _storage(where.storage), "give another `storage`")
    yield _guarded("runs", lambda: _runs(where.storage), "see tune-nas runs")
    yield _guarded("MLflow", lambda: _mlflow(where), "give another `mlflow`, or start the server")
    if not where.quick:
        yield _guarded("Ray", lambda: _ray(where.address), _ray_remedy(where.address))
    yield _gpu()
    yield _guarded("data", lambda: _data(where), "see tune-nas list data; give `data.dir`")
    yield _table()
    if not where.quick:
        yield _kernels()


def _guarded(subject: str, check: Callable[[], Checkup], remedy: str) -> Checkup:
    """Return the result of a check; its error is a problem."""
    try:
        return check()
    except (TuneNasError, OSError) as error:
        reason = str(error) if isinstance(error, TuneNasError) else _reason(error)
        return Checkup(subject, PROBLEM, reason, remedy)


def _reason(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}" if error.filename else str(error)


def _packages() -> Checkup:
    """Check the installed versions against those that this package requires."""
    wrong: list[str] = []
    try:
        required = [Requirement(text) for text in metadata.requires(_PACKAGE) or ()]
    except (metadata.PackageNotFoundError, InvalidRequirement):
        required = []
    for requirement in required:
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        version = _version(requirement.name)
        if version is None or not requirement.specifier.contains(version, prereleases=True):
            wrong.append(f"{requirement.name} {version or 'is missing'}, not {requirement}")
    python = ".".join(map(str, sys.version_info[:3]))
    if wrong:
        return Checkup("packages", PROBLEM, "; ".join(wrong), f"pip install -U {_PACKAGE}")
    shown = ", ".join(f"{name} {_version(name)}" for name in _SHOWN)
    return Checkup("packages", OK, f"Python {python}, {shown}")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _storage(storage: str) -> Checkup:
    """Check that the storage can be written; a missing folder is not created."""
    root = Storage(storage)
    if root.local is not None and not root.local.exists():
        parent = next(path for path in root.local.parents if path.exists())
        with TemporaryDirectory(dir=parent, prefix=_PROBE):
            pass
        return _space(root.root, parent, "does not exist yet and can be created")
    probe = f"{_PROBE}{uuid.uuid4().hex}"
    root.write(probe, "")
    root.delete(probe)
    if root.local is None:
        return Checkup("storage", OK, f"{root.root} can be written")
    return _space(root.root, root.local, "can be written")


def _space(root: str, folder: Path, words: str) -> Checkup:
    free = shutil.disk_usage(folder).free
    found = f"{root} {words}, {free / 1024**3:.1f} GiB free"
    if free < _LITTLE:
        return Checkup("storage", NOTE, found, "free space: tune-nas clean")
    return Checkup("storage", OK, found)


def _runs(storage: str) -> Checkup:
    """Check the states of the runs in the storage."""
    root = Storage(storage)
    lost, damaged, n_runs = [], [], 0
    for name, state in read_states(root):
        n_runs += 1
        if state is None:
            damaged.append(name)
        elif run_status(root.within(name), state, name, storage)[0] == "lost":
            lost.append(name)
    if damaged:
        remedy = f"tune-nas rm {damaged[0]}{storage_option(storage)}"
        return Checkup("runs", NOTE, f"{n_runs}, of which {len(damaged)} damaged", remedy)
    if lost:
        remedy = f"tune-nas resume {lost[0]}{storage_option(storage)}"
        return Checkup("runs", NOTE, f"{n_runs}, of which {len(lost)} lost", remedy)
    return Checkup("runs", OK, str(n_runs))


def _mlflow(where: Surroundings) -> Checkup:
    uri = store_uri(where.mlflow or "", Storage(where.storage))
    shown = without_password(uri)
    if not store_exists(uri):
        return Checkup("MLflow", OK, f"{shown} does not exist yet; the first run creates it")
    Experiment(uri, create=uri.startswith("http"))
    return Checkup("MLflow", OK, f"{shown} can be used")


def _ray(address: str | None) -> Checkup:
    """Start Ray on this machine, or join the cluster, and leave it again."""
    with connect(address):
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cpus, gpus = (sum(float(node.get(kind, 0)) for node in nodes) for kind in ("CPU", "GPU"))
    where = "starts" if is_local(address) else f"has {len(nodes)} nodes at {address}"
    return Checkup("Ray", OK, f"{ray.__version__} {where}: {cpus:g} CPUs, {gpus:g} GPUs")


def _ray_remedy(address: str | None) -> str:
    if is_local(address):
        return "free memory, or set RAY_TMPDIR to a short path on a disk with space"
    return "start it: ray start --head; then give its `address`"


def _gpu() -> Checkup:
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        return Checkup("GPU", OK, ", ".join(names))
    if shutil.which("nvidia-smi"):
        remedy = "install the build of torch for your CUDA driver: https://pytorch.org"
        return Checkup("GPU", NOTE, "a driver, but torch finds no GPU", remedy)
    return Checkup("GPU", OK, "none; trials run on the CPU")


def _data(where: Surroundings) -> Checkup:
    """Open both parts of the data set."""
    name = where.data or "digits"
    config = library.validate(DataConfig, {"name": name, "dir": where.data_dir}, "data")
    sizes = [len(open_part(config, part).labels) for part in ("train", "test")]
    return Checkup("data", OK, f"{name}: {sizes[0]:,} training and {sizes[1]:,} test images")


def _table() -> Checkup:
    if find_table("auto") is not None:
        return Checkup("benchmark", OK, f"NAS-Bench-201 at {user_table()}")
    return Checkup("benchmark", OK, "no table of NAS-Bench-201; see tune-nas benchmark import")


def _kernels() -> Checkup:
    """Compile the CPU kernels, or find compiled ones."""
    with _logged(build.__name__) as lines:
        if build.build_kernels():
            return Checkup("kernels", OK, "compiled for this processor")
    reason = lines[-1] if lines else "they cannot be compiled"
    remedy = "install a C++ compiler (g++) and ninja; until then, torch's operations are used"
    return Checkup("kernels", NOTE, reason, remedy)


@contextmanager
def _logged(name: str) -> Iterator[list[str]]:
    """Provide the messages of a logger within the block, instead of printing them."""
    lines: list[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    logger, handler = logging.getLogger(name), Lines()
    logger.addHandler(handler)
    before, logger.propagate = logger.propagate, False
    try:
        yield lines
    finally:
        logger.propagate = before
        logger.removeHandler(handler)
