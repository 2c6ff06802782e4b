"""One session of a run: from its first unfinished phase to its report."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from tune_nas.errors import StorageError
from tune_nas.paths import LOG
from tune_nas.sweep.background_tracking import BackgroundTracking
from tune_nas.sweep.full_disk import told_by_name
from tune_nas.sweep.interruption import Interruption
from tune_nas.sweep.library_output import hidden_warnings
from tune_nas.sweep.manage.renaming import finish_renaming
from tune_nas.sweep.outcome import SweepOutcome, conclude, tracking_actions
from tune_nas.sweep.phase_runner import MakeRunner
from tune_nas.sweep.phases import Known, lacks_trials, phases_of, read_records
from tune_nas.sweep.runs.plan import Plan
from tune_nas.sweep.runs.stop_requests import StopRequests
from tune_nas.sweep.runs.storage import Storage
from tune_nas.sweep.runs.store_uri import store_uri
from tune_nas.sweep.tracking import SweepTracking
from tune_nas.tracking.store import sqlite_path


def run_session(
    plan: Plan,
    storage: str,
    runner: AbstractContextManager[MakeRunner],
    *,
    resumed: bool,
    in_background: bool = False,
) -> SweepOutcome:
    """Run a sweep to its end: its phases, its results, its runs in MLflow.

    Args:
        plan: The sweep; its folder is locked.
        storage: Storage of all sweeps.
        runner: Provides what runs the trials; entered only if trials are left.
        resumed: Whether an earlier session began it.
        in_background: Whether to open the MLflow store while the first epoch trains.

    Raises:
        StorageError: If storage, cluster or MLflow store cannot be used.
        ConfigError: If no trial fits on the machine or the cluster.
    """
    uri = store_uri(plan.state.mlflow, Storage(storage))
    known = read_records(plan)
    StopRequests(plan.storage).withdraw()  # one that came too late for an earlier session
    with told_by_name(plan.storage.root, uri), _logging_to(plan.storage), _noted_end(plan):
        finish_renaming(plan, uri)
        if plan.state.status == "untracked" and not lacks_trials(plan, known):
            with _tracked(plan, uri, known) as (tracking, _):
                return _conclude(plan, tracking, known)
        in_background = in_background and not resumed and sqlite_path(uri) is not None
        with (
            runner as make,
            _tracked(plan, uri, known, in_background=in_background) as (tracking, interruption),
        ):
            if resumed:
                tracking.settle()
            of_phases = make(tracking, interruption)
            for phase in phases_of(plan):
                plan.write_state(phase=phase.name)
                of_phases.run(phase, known)
            return _conclude(plan, tracking, known)


@contextmanager
def _tracked(
    plan: Plan, uri: str, known: Known, *, in_background: bool = False
) -> Iterator[tuple[SweepTracking | BackgroundTracking, Interruption]]:
    """Open the sweep's runs in MLflow, and close them however the block ends, also on a signal."""
    requests = StopRequests(plan.storage)
    interruption = Interruption(requests.of_run)
    with interruption.watch():
        with interruption.deferred():  # so that an opened run is always closed
            tracking = (
                BackgroundTracking(partial(SweepTracking, plan, uri, known), uri)
                if in_background
                else SweepTracking(plan, uri, known)
            )
        try:
            with tracking.closing(interruption):
                interruption.check()
                yield tracking, interruption
        except KeyboardInterrupt:
            plan.state.interrupted = interruption.reason
            requests.withdraw()
            raise


@contextmanager
def _noted_end(plan: Plan) -> Iterator[None]:
    """Note an interruption in the state: a session that leaves none has died."""
    plan.state.interrupted = ""
    try:
        yield
    except KeyboardInterrupt:
        with suppress(StorageError):  # it would hide the interruption
            plan.write_state(interrupted=plan.state.interrupted or "Ctrl-C")
        raise


def _conclude(
    plan: Plan, tracking: SweepTracking | BackgroundTracking, known: Known
) -> SweepOutcome:
    """Write the results, then everything that MLflow lacks; otherwise the sweep is unfinished."""
    outcome = conclude(plan, list(known.values()), tracking.uri)
    tracking.conclude(tracking_actions(plan, outcome))
    missing = tracking.missing()
    plan.write_state(status="untracked" if missing else "finished")
    return replace(outcome, untracked=missing, remarks=tracking.remarks())


@contextmanager
def _logging_to(storage: Storage) -> Iterator[None]:
    """Keep warnings of libraries in the sweep's log; a remote log is appended to at the end."""
    if storage.local is not None:
        with hidden_warnings(storage.local / LOG):
            yield
        return
    with TemporaryDirectory() as folder:
        path = Path(folder, LOG)
        try:
            with hidden_warnings(path):
                yield
        except BaseException:
            with suppress(OSError):  # it would hide the error that is reported
                _append(storage, path)
            raise
        _append(storage, path)


def _append(storage: Storage, path: Path) -> None:
    """Append a file to the log in the storage, if the file exists."""
    if path.exists():
        storage.write(LOG, (storage.read(LOG) or "") + path.read_text(encoding="utf-8"))
