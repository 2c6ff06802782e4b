"""Freeing the space of checkpoints that nothing reads anymore, of runs that have ended."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tune_nas.checkpoint import load_state, save_state
from tune_nas.checkpoint_folder import MANIFEST, is_state
from tune_nas.errors import CheckpointError, StorageError
from tune_nas.files import folder_bytes, sync_folder, write_atomically
from tune_nas.paths import CHECKPOINT
from tune_nas.report.results import PHASES
from tune_nas.retrain.retrain import STATE_FILE
from tune_nas.status import Status
from tune_nas.sweep.manage.managed_run import ManagedRun
from tune_nas.sweep.runs.checkpoints import list_checkpoints, number_of
from tune_nas.sweep.runs.locking import locked_folder
from tune_nas.sweep.runs.record import Record
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.storage import Storage
from tune_nas.sweep.sharing.branch import KEPT

OLD, OPTIMIZER, PAUSED, SUPERNET = (
    "old checkpoints",
    "optimizer states",
    "paused candidates",
    "supernets",
)
"""Kinds of parts that can be removed."""
_OPTIMIZER_KEY = "optimizer"
_CANDIDATES = "candidates"
_PARTIAL = ".clean-"  # prefix of a checkpoint that is being written


@dataclass(frozen=True)
class Cleanable:
    """A part of a run that can be removed.

    Args:
        name: The run.
        trial_id: The trial.
        kind: One of `OLD`, `OPTIMIZER`, `PAUSED` and `SUPERNET`.
        path: The folder or file; of optimizer states, the checkpoint that has them.
        size: Bytes.
    """

    name: str
    trial_id: str
    kind: str
    path: Path
    size: int


@dataclass(frozen=True)
class CleaningPlan:
    """What can be removed from some runs.

    Args:
        parts: The parts, by run and trial.
        skipped: Runs that are left as they are, each with the reason.
    """

    parts: Sequence[Cleanable]
    skipped: Mapping[str, str]

    @property
    def size(self) -> int:
        """Bytes of all parts."""
        return sum(part.size for part in self.parts)


def plan_cleaning(storage: str, names: Iterable[str], *, supernets: bool = False) -> CleaningPlan:
    """Return what nothing reads anymore in the checkpoints of finished runs; nothing is removed.

    Of each trial that finished, or that ASHA stopped, the newest intact checkpoint is kept: with
    the supernet that `select` and `analyze` start from, or the retrained network that `predict` and
    `export` use. Of retraining runs, its optimizer state goes. Trials that can still be resumed
    (failed, or stopped by the user) keep everything, and so do checkpoints without a manifest, e.g.
    of a custom task.

    Args:
        storage: Folder in which runs are stored.
        names: The runs.
        supernets: Whether the states of searches go, too; genotypes and tables stay, but `select`
            and `analyze` then have nothing to start from.

    Raises:
        StorageError: If the storage is remote.
    """
    root = Storage(storage)
    if root.local is None:
        raise StorageError(f"storage {root.root} is remote; only a folder can be cleaned")
    parts: list[Cleanable] = []
    skipped: dict[str, str] = {}
    for name in names:
        run = ManagedRun(storage, name)
        state = run.state
        if state is None or state.status != "finished":
            skipped[name] = "it has not finished"
            continue
        try:
            run.check_not_running()
            if supernets:
                run.check_unused()
            records = [record for phase in PHASES for record in Records(run.folder, phase)]
        except StorageError as error:
            skipped[name] = str(error)
            continue
        for record in records:
            parts += _parts(name, record, supernets=supernets)
    return CleaningPlan(parts, skipped)


def clean(storage: str, plan: CleaningPlan) -> int:
    """Remove the parts of a plan; return the bytes that were freed.

    A run that was resumed, extended or removed meanwhile is left as it is.

    Raises:
        StorageError: If a run is running, or a part cannot be removed.
    """
    freed = 0
    for name in dict.fromkeys(part.name for part in plan.parts):
        run = ManagedRun(storage, name)
        with locked_folder(run.folder, name):
            state = run.state
            if state is None or state.status != "finished":
                continue
            # Optimizer states first: if that is cut short, the previous checkpoint is still there.
            own = [part for part in plan.parts if part.name == name]
            for part in sorted(own, key=lambda part: part.kind != OPTIMIZER):
                freed += _remove(part)
    return freed


def _parts(name: str, record: Record, *, supernets: bool) -> Iterator[Cleanable]:
    """Yield the parts of a trial that can be removed."""
    if record.status not in (Status.FINISHED, Status.STOPPED) or record.stopped_by_user:
        return
    trial_id = record.job.id
    checkpoints = [Path(path) for path in list_checkpoints(record.folders)]
    kept = next((path for path in checkpoints if _is_intact(path)), None)
    if kept is None:
        return
    for path in checkpoints:
        if path != kept:
            yield Cleanable(name, trial_id, OLD, path, folder_bytes(path))
    for folder in record.folders:
        for path in Path(folder).glob(f"{KEPT}*"):  # for trials that share its first epochs
            yield Cleanable(name, trial_id, OLD, path, folder_bytes(path))
    if record.job.phase == "retrain":
        size = _optimizer_bytes(kept)
        if size:
            yield Cleanable(name, trial_id, OPTIMIZER, kept, size)
        return
    for folder in record.folders:
        candidates = Path(folder, _CANDIDATES)
        if candidates.is_dir():
            yield Cleanable(name, trial_id, PAUSED, candidates, folder_bytes(candidates))
    if supernets and record.job.phase != "analysis":
        for path in kept.iterdir():
            if is_state(path.name):
                yield Cleanable(name, trial_id, SUPERNET, path, path.stat().st_size)


def _checksums(checkpoint: Path) -> dict[str, str]:
    """Return the manifest of a checkpoint; empty without one."""
    try:
        sums = json.loads((checkpoint / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return sums if isinstance(sums, dict) else {}


def _is_intact(checkpoint: Path) -> bool:
    """Return whether all files of a checkpoint are there, with the sums of its manifest."""
    sums = _checksums(checkpoint)
    try:
        return bool(sums) and all(
            hashlib.sha256((checkpoint / name).read_bytes()).hexdigest() == digest
            for name, digest in sums.items()
        )
    except OSError:
        return False


def _optimizer_bytes(checkpoint: Path) -> int:
    """Return the bytes of the optimizer state of a retraining run; 0 without one."""
    try:
        state = load_state(checkpoint, name=STATE_FILE)
    except CheckpointError:  # of a custom task
        return 0
    return _tensor_bytes(state.get(_OPTIMIZER_KEY))


def _tensor_bytes(content: object) -> int:
    if isinstance(content, Mapping):
        return sum(_tensor_bytes(value) for value in content.values())
    if isinstance(content, list | tuple):
        return sum(_tensor_bytes(value) for value in content)
    return int(getattr(content, "nbytes", 0))


def _remove(part: Cleanable) -> int:
    """Remove a part; return the bytes that were freed."""
    try:
        if part.kind == OPTIMIZER:
            return _without_optimizer(part.path)
        if part.path.is_dir():
            shutil.rmtree(part.path)
        else:
            part.path.unlink()
        return part.size
    except FileNotFoundError:
        return 0
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageError(f"{error.filename or part.path} cannot be removed: {reason}") from error


def _without_optimizer(checkpoint: Path) -> int:
    """Replace a checkpoint by one without optimizer state, under the next number.

    The new one is complete before it gets its name, and the old one goes after that: there is an
    intact checkpoint at any moment.
    """
    numbers = [number_of(path.name) for path in checkpoint.parent.iterdir()]
    number = max(number for number in numbers if number is not None)
    before = folder_bytes(checkpoint)
    state = load_state(checkpoint, name=STATE_FILE)
    state.pop(_OPTIMIZER_KEY, None)
    partial = checkpoint.with_name(f"{_PARTIAL}{checkpoint.name}")
    shutil.rmtree(partial, ignore_errors=True)
    known = _checksums(checkpoint)
    files = {name: (checkpoint / name).read_bytes() for name in known if not is_state(name)}
    save_state(partial, state, name=STATE_FILE, files=files)
    for path in checkpoint.iterdir():
        if path.name not in known and path.name != MANIFEST:
            write_atomically(partial / path.name, path.read_bytes())
    target = checkpoint.with_name(f"{CHECKPOINT}{number + 1:06d}")
    partial.rename(target)
    sync_folder(target.parent)
    shutil.rmtree(checkpoint)
    return before - folder_bytes(target)
