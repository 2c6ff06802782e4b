"""One session of a sweep: on Ray, from its first unfinished phase to its report.

Ray is imported with this module, so `prepare_environment` must have been called before.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from tune_nas.errors import StorageError
from tune_nas.sweep.full_disk import told_by_name
from tune_nas.sweep.interruption import Interruption
from tune_nas.sweep.library_output import hidden_warnings
from tune_nas.sweep.manage.renaming import finish_renaming
from tune_nas.sweep.options import RunOptions
from tune_nas.sweep.outcome import SweepOutcome, conclude, tracking_actions
from tune_nas.sweep.phases import Known, lacks_trials, phases_of, read_records, workers_of
from tune_nas.sweep.ray.cluster import connect, registered, trials_at_once
from tune_nas.sweep.ray.environment import is_local
from tune_nas.sweep.ray.execution import PhaseRunner
from tune_nas.sweep.runs.plan import Plan
from tune_nas.sweep.runs.stop_requests import StopRequests
from tune_nas.sweep.runs.storage import Storage
from tune_nas.sweep.runs.store_uri import store_uri
from tune_nas.sweep.tracking import SweepTracking
from tune_nas.tasks import Tasks

_LOG = "log.txt"


def run_session(plan: Plan, options: RunOptions, tasks: Tasks, *, resumed: bool) -> SweepOutcome:
    """Run a sweep to its end: its phases, its results, its runs in MLflow.

    Args:
        plan: The sweep; its folder is locked.
        options: Where and how trials run.
        tasks: Tasks that replace those that jobs name.
        resumed: Whether an earlier session began it.

    Raises:
        StorageError: If storage, cluster or MLflow store cannot be used.
        ConfigError: If no trial fits on the machine or the cluster.
    """
    uri = store_uri(plan.state.mlflow, Storage(options.storage))
    known = read_records(plan)
    StopRequests(plan.storage).withdraw()  # one that came too late for an earlier session
    with told_by_name(plan.storage.root, uri), _logging_to(plan.storage), _noted_end(plan):
        finish_renaming(plan, uri)
        if plan.state.status == "untracked" and not lacks_trials(plan, known):
            with _tracked(plan, uri, known) as (tracking, _):  # Ray is not needed
                return _conclude(plan, tracking, known)
        with connect(options.address), _locked(plan, options.address):
            for phase in phases_of(plan):  # check for room before any MLflow run is opened
                trials_at_once(options, workers_of(plan, phase, tasks, options.workers))
            with _tracked(plan, uri, known) as (tracking, interruption):
                if resumed:
                    tracking.settle()
                runner = PhaseRunner(plan, options, tasks, tracking, interruption)
                for phase in phases_of(plan):
                    plan.write_state(phase=phase.name)
                    runner.run(phase, known)
                return _conclude(plan, tracking, known)


@contextmanager
def _tracked(plan: Plan, uri: str, known: Known) -> Iterator[tuple[SweepTracking, Interruption]]:
    """Open the sweep's runs in MLflow, and close them however the block ends, also on a signal."""
    requests = StopRequests(plan.storage)
    interruption = Interruption(requests.of_run)
    with interruption.watch():
        with interruption.deferred():  # so that an opened run is always closed
            tracking = SweepTracking(plan, uri, known)
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


def _conclude(plan: Plan, tracking: SweepTracking, known: Known) -> SweepOutcome:
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
        with hidden_warnings(storage.local / _LOG):
            yield
        return
    with TemporaryDirectory() as folder:
        path = Path(folder, _LOG)
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
        storage.write(_LOG, (storage.read(_LOG) or "") + path.read_text(encoding="utf-8"))


def _locked(plan: Plan, address: str | None) -> AbstractContextManager[None]:
    """Keep a second driver of a remote sweep out of the cluster; others are not detected."""
    if plan.storage.local is None and not is_local(address):
        return registered(plan.storage.root)
    return nullcontext()
