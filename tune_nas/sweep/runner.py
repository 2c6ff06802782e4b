"""Running a sweep from its first trial to its report, and resuming an interrupted one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tune_nas.config import TrialConfig, check_data_keys
from tune_nas.errors import ConfigError, StorageError
from tune_nas.paths import DATABASE
from tune_nas.sweep.config import RETRAIN_METRIC, SweepConfig
from tune_nas.sweep.distinct import check_distinct
from tune_nas.sweep.failed import has_failed, reopen_failed
from tune_nas.sweep.full_disk import told_by_name
from tune_nas.sweep.interruption import Interruption
from tune_nas.sweep.options import RunOptions
from tune_nas.sweep.outcome import SweepOutcome, conclude, tracking_actions
from tune_nas.sweep.phases import Known, lacks_trials, phases_of, read_records
from tune_nas.sweep.preflight import (
    check_devices,
    check_metric,
    data_sections,
    preflight,
    tell_images,
)
from tune_nas.sweep.ray.cluster import (
    check_address,
    connect,
    hidden_warnings,
    is_local,
    prepare_environment,
    trials_at_once,
)
from tune_nas.sweep.resolve import BaseTrials, base_trials
from tune_nas.sweep.runs.locking import check_free, locked, locked_in_cluster
from tune_nas.sweep.runs.plan import STATE, Plan, State, read_plan, read_state
from tune_nas.sweep.runs.storage import Storage
from tune_nas.sweep.runs.store_uri import store_uri, unless_moved
from tune_nas.tasks import AnalysisTask
from tune_nas.text import brief, printable
from tune_nas.tracking import Tracker, TrackerSettings
from tune_nas.tracking.store import sqlite_path

if TYPE_CHECKING:
    from tune_nas.sweep.ray.execution import Tasks
    from tune_nas.sweep.tracking import SweepTracking

_LOG = "log.txt"
_LONGEST_NAME = 200  # bytes; file systems allow 255, and MLflow adds to it


def run_sweep(
    sweep: SweepConfig,
    options: RunOptions,
    name: str | None = None,
    *,
    tasks: Tasks | None = None,
) -> SweepOutcome:
    """Run a sweep: search, repeat, retrain, report.

    Args:
        sweep: From `load_sweep`.
        options: Where and how trials run.
        name: Folder and MLflow name; None for the name of the sweep.
        tasks: Tasks by name that replace the shipped ones.

    Raises:
        ConfigError: If a trial cannot start.
        NameTakenError: If the name exists.
        StorageError: If storage, cluster or MLflow store cannot be used.
    """
    sweep = sweep.model_copy(update={"name": name or sweep.name})
    return _start(sweep, base_trials(sweep), State(kind="sweep"), options, tasks)


def run_search(
    trial: TrialConfig,
    options: RunOptions,
    name: str | None = None,
    *,
    tasks: Tasks | None = None,
) -> SweepOutcome:
    """Run one search, tracked and resumable like those of a sweep; raises as `run_sweep` does."""
    sweep = _single(trial, name)
    bases = BaseTrials({trial.name: trial})
    return _start(sweep, bases, State(kind="search"), options, tasks)


def run_retrain(
    trial: TrialConfig,
    genotype: str,
    options: RunOptions,
    name: str | None = None,
    *,
    parent_run: str | None = None,
    tasks: Tasks | None = None,
) -> SweepOutcome:
    """Train one genotype from scratch, tracked and resumable; raises as `run_sweep` does.

    Args:
        trial: The trial; only its space, data and ``retrain`` section are used.
        genotype: The genotype as YAML, or in any other supported notation.
        options: Where and how it runs.
        name: Folder and MLflow name; None for the name of the trial.
        parent_run: MLflow run that the genotype comes from.
        tasks: Tasks by name that replace the shipped ones.
    """
    state = State(kind="retrain", genotype=str(genotype), parent_run=parent_run)
    sweep = _single(trial, name, metric=RETRAIN_METRIC, retrain=1)
    return _start(sweep, BaseTrials({trial.name: trial}), state, options, tasks)


def start_analysis(
    trial: TrialConfig,
    options: RunOptions,
    name: str | None = None,
    *,
    parent_run: str | None = None,
    tasks: Tasks | None = None,
) -> SweepOutcome:
    """Analyze edges of a finished search, tracked and resumable; raises as `run_sweep` does.

    Args:
        trial: The trial of the search, with ``start_from`` and the section ``analysis`` set.
        options: Where and how it runs.
        name: Folder and MLflow name; None for the name of the trial.
        parent_run: MLflow run of the search.
        tasks: Tasks by name that replace the shipped ones.
    """
    state = State(kind="analysis", parent_run=parent_run)
    sweep = _single(trial, name, metric=AnalysisTask.metric)
    return _start(sweep, BaseTrials({trial.name: trial}), state, options, tasks)


def resume_sweep(
    name: str | None,
    options: RunOptions,
    *,
    failed: bool = False,
    tasks: Tasks | None = None,
) -> SweepOutcome:
    """Resume a sweep, search, retraining run or analysis after a crash, Ctrl-C or power cut.

    Args:
        name: Name of the folder; None for the latest unfinished run.
        options: Where and how trials run; None values keep the setting of the original run.
        failed: Whether to retry failed trials, also those of a finished sweep.
        tasks: Tasks by name that replace the shipped ones.

    Raises:
        StorageError: If there is nothing to resume, or it is running.
    """
    root = Storage(options.storage)
    plan = read_plan(root.within(name or _latest(root, failed=failed)))
    recorded = unless_moved(plan.state.mlflow, root, plan.state.identity)
    plan.state.mlflow = options.mlflow or recorded
    path = sqlite_path(store_uri(plan.state.mlflow, root))
    if plan.state.status == "finished":
        if plan.state.mlflow != recorded or (path is not None and not path.exists()):
            plan.state.status = "untracked"  # the store has changed, or the previous one is gone
        elif not failed and not lacks_trials(plan, read_records(plan)):
            raise StorageError(f"'{plan.sweep.name}' has finished; there is nothing to resume")
    options = options.merged_with(plan.state.options)
    plan.state.options = options.for_resume()
    check_address(options.address)
    with locked(plan):
        if failed:
            reopen_failed(plan)
        return _run(plan, options, tasks or {}, resumed=True)


def _single(trial: TrialConfig, name: str | None, **changes: Any) -> SweepConfig:
    """Return the sweep of one trial: a search, unless changes make it a retraining run."""
    own = {"name": name or trial.name, "trial": trial.name, "seeds": [trial.seed]}
    return SweepConfig.model_validate({**own, "parameters": {}, "retrain": 0, **changes})


def _start(
    sweep: SweepConfig,
    bases: BaseTrials,
    state: State,
    options: RunOptions,
    tasks: Tasks | None,
) -> SweepOutcome:
    """Check everything that can be checked, then write."""
    prepare_environment(options.address)
    _check_name(sweep.name)
    root = Storage(options.storage)
    storage = root.within(sweep.name)
    check_free(storage, sweep.name, options)
    check_metric(sweep, bases)
    plan = Plan(storage, sweep, bases, state)
    trials = [trial for _, _, trial in plan.resolved.trials]
    check_data_keys(data_sections(sweep, trials))
    here = is_local(options.address)
    if here:
        check_devices(trials)
    preflight(trials, phases_of(plan), state, tasks or {}, here=here)
    check_distinct(sweep, plan.resolved.points)
    check_address(options.address)
    state.mlflow = options.mlflow or ""
    uri = store_uri(state.mlflow, root)
    if not uri.startswith("sqlite:"):
        Tracker(uri)
    state.options = options.for_resume()
    if not options.quiet:
        tell_images(trials)
    made_root = root.local is not None and not root.local.exists()
    with locked(plan):
        check_free(storage, sweep.name, options)  # another process may have started it meanwhile
        try:
            plan.write()
            return _run(plan, options, tasks or {}, resumed=False)
        except Exception:  # library errors too: remove a folder in which nothing ran
            if _is_untouched(plan):
                storage.remove()
                if made_root and root.local is not None:
                    _remove_if_empty(root.local)
            raise


def _check_name(name: str) -> None:
    """Raise a ConfigError if a name is not valid for a folder, or not printable."""
    if set('/"') & set(name) or name in ("", ".", "..") or not name.isprintable():
        text = brief(printable(" ".join(name.split())))
        raise ConfigError(
            f"name is '{text}', but must be fit for a folder, without '/', '\"' and characters "
            "that are not printable"
        )
    if (size := len(name.encode())) > _LONGEST_NAME:
        raise ConfigError(
            f"name is '{brief(name, 60)}', {size} bytes long; it must have at most {_LONGEST_NAME}"
        )


def _is_untouched(plan: Plan) -> bool:
    """Return whether nothing of a sweep has run yet, and the files in its folder are its own."""
    there = read_state(plan.storage)
    own = there is None or there.identity == plan.state.identity
    return own and not any(plan.storage.names(phase) for phase in ("search", "retrain", "analysis"))


def _run(plan: Plan, options: RunOptions, tasks: Tasks, *, resumed: bool) -> SweepOutcome:
    prepare_environment(options.address)  # before anything imports ray
    from tune_nas.sweep.ray.execution import PhaseRunner

    uri = store_uri(plan.state.mlflow, Storage(options.storage))
    known = read_records(plan)
    with told_by_name(plan.storage.root, uri), _logging_to(plan.storage):
        if plan.state.status == "untracked" and not lacks_trials(plan, known):
            with _tracked(plan, uri, known) as (tracking, _):  # Ray is not needed
                return _conclude(plan, tracking, known)
        with connect(options.address), locked_in_cluster(plan, options.address):
            trials_at_once(options)  # check for room before any MLflow run is opened
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
    from tune_nas.sweep.tracking import SweepTracking

    interruption = Interruption()
    with interruption.watch():
        with interruption.deferred():  # so that an opened run is always closed
            tracking = SweepTracking(plan, TrackerSettings(uri), known)
        with tracking.closing(interruption):
            interruption.check()
            yield tracking, interruption


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


def _latest(root: Storage, *, failed: bool) -> str:
    """Return the latest unfinished run; with ``failed``, runs with failed trials count too.

    Raises:
        StorageError: If there is none.
    """
    started = {}
    for name in root.names():
        if STATE in root.names(name):
            state = read_state(root.within(name)) or State(started=0.0)
            if state.status != "finished" or (failed and has_failed(root.within(name))):
                started[name] = state.started
    if not started:
        what = "to try again" if failed else "to resume"
        raise StorageError(f"there is nothing {what} in {root.root}")
    return max(started, key=lambda name: started[name])


def _remove_if_empty(folder: Path) -> None:
    if not folder.is_dir():
        return
    names = {path.name for path in folder.iterdir()}
    if names <= {DATABASE}:
        for name in names:
            (folder / name).unlink()
        folder.rmdir()
