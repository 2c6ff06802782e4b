"""Running a sweep from its first trial to its report, and resuming an interrupted one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from tune_nas.config import TrialConfig, check_data_keys
from tune_nas.errors import DataError, StorageError
from tune_nas.operation_strength import ANALYSIS_METRIC
from tune_nas.paths import DATABASE
from tune_nas.report.labels import RETRAIN
from tune_nas.report.results import PHASES
from tune_nas.sweep import when_needed
from tune_nas.sweep.config import SweepConfig
from tune_nas.sweep.execution_choice import runs_here
from tune_nas.sweep.extension import Extension, extended, write_extension
from tune_nas.sweep.failed import has_failed, options_to_continue, reopen_failed, reopen_stopped
from tune_nas.sweep.first_checks import check_metric, check_name, data_sections
from tune_nas.sweep.options import RunOptions
from tune_nas.sweep.outcome import SweepOutcome
from tune_nas.sweep.phases import lacks_trials, read_records
from tune_nas.sweep.ray.environment import check_address, prepare_environment
from tune_nas.sweep.resolution import BaseTrials
from tune_nas.sweep.resolve import base_trials
from tune_nas.sweep.retrain_grid import RetrainGrid
from tune_nas.sweep.runs.locking import check_free, locked
from tune_nas.sweep.runs.lookup import existing_run
from tune_nas.sweep.runs.plan import Plan, State, read_plan, read_state, read_states
from tune_nas.sweep.runs.provenance import recorded_session
from tune_nas.sweep.runs.storage import Storage
from tune_nas.sweep.runs.store_uri import store_uri, unless_moved
from tune_nas.tasks import Tasks
from tune_nas.tracking import Experiment
from tune_nas.tracking.store import sqlite_path

BeforeStart = Callable[[], None]
"""Called before a run starts; to start nothing, it raises an error."""


def run_sweep(
    sweep: SweepConfig,
    options: RunOptions,
    name: str | None = None,
    *,
    tasks: Tasks | None = None,
    before_start: BeforeStart | None = None,
) -> SweepOutcome:
    """Run a sweep: search, repeat, retrain, report.

    Args:
        sweep: From `load_sweep`.
        options: Where and how trials run.
        name: Folder and MLflow name; None for the name of the sweep.
        tasks: Tasks by name that replace the shipped ones.
        before_start: Called after all checks, before anything is written.

    Raises:
        ConfigError: If a trial cannot start.
        NameTakenError: If the name exists.
        StorageError: If storage, cluster or MLflow store cannot be used.
    """
    sweep = sweep.model_copy(update={"name": name or sweep.name})
    return _start(sweep, base_trials(sweep), State(kind="sweep"), options, tasks, before_start)


def run_search(
    trial: TrialConfig,
    options: RunOptions,
    name: str | None = None,
    *,
    tasks: Tasks | None = None,
    before_start: BeforeStart | None = None,
) -> SweepOutcome:
    """Run one search, tracked and resumable like those of a sweep; see `run_sweep`."""
    sweep = _single(trial, name)
    bases = BaseTrials({trial.name: trial})
    return _start(sweep, bases, State(kind="search"), options, tasks, before_start)


def run_retrain(
    trial: TrialConfig,
    genotype: str,
    options: RunOptions,
    name: str | None = None,
    *,
    parent_run: str | None = None,
    grid: RetrainGrid | None = None,
    tasks: Tasks | None = None,
    before_start: BeforeStart | None = None,
) -> SweepOutcome:
    """Train one genotype from scratch, tracked and resumable; raises as `run_sweep` does.

    Args:
        trial: The trial; only its space, data and ``retrain`` section are used.
        genotype: The genotype as YAML, or in any other supported notation.
        options: How it is executed.
        name: Folder and MLflow name; None for the name of the trial.
        parent_run: MLflow run that the genotype comes from.
        grid: Settings and seeds, each with a run; None for one run with those of the trial.
        tasks: Tasks by name that replace the shipped ones.
        before_start: Called after all checks, before anything is written.
    """
    state = State(kind="retrain", genotype=str(genotype), parent_run=parent_run)
    sweep = retrain_sweep(trial, grid, name)
    return _start(sweep, BaseTrials({trial.name: trial}), state, options, tasks, before_start)


def retrain_sweep(
    trial: TrialConfig, grid: RetrainGrid | None = None, name: str | None = None
) -> SweepConfig:
    """Return the sweep that `run_retrain` runs; see there."""
    runs = 1 if grid is None else grid.model_copy(update={"genotypes": 1})
    return _single(trial, name, metric=RETRAIN, retrain=runs)


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
        options: How it is executed.
        name: Folder and MLflow name; None for the name of the trial.
        parent_run: MLflow run of the search.
        tasks: Tasks by name that replace the shipped ones.
    """
    state = State(kind="analysis", parent_run=parent_run)
    sweep = _single(trial, name, metric=ANALYSIS_METRIC)
    return _start(sweep, BaseTrials({trial.name: trial}), state, options, tasks)


def resume_sweep(
    name: str | None,
    options: RunOptions,
    *,
    failed: bool = False,
    stopped: bool = False,
    tasks: Tasks | None = None,
) -> SweepOutcome:
    """Resume a sweep, search, retraining run or analysis after a crash, Ctrl-C or power cut.

    Args:
        name: Name of the run, or of one of its trials, e.g. ``lambda/search-00003``: the whole run
            is resumed. None for the latest unfinished run.
        options: Where and how trials run; None values keep the setting of the original run.
        failed: Whether to retry failed trials, also those of a finished sweep.
        stopped: Whether to continue trials that the user stopped, also those of a finished sweep.
        tasks: Tasks by name that replace the shipped ones.

    Raises:
        StorageError: If there is nothing to resume, or it is running.
    """
    root = Storage(options.storage)
    own = _named(name, options.storage) if name else _latest(root, failed=failed)
    plan = read_plan(root.within(own))
    recorded = unless_moved(plan.state.mlflow, root, plan.state.identity)
    options = _taken_over(plan, root, options, tasks or {})
    path = sqlite_path(store_uri(plan.state.mlflow, root))
    if plan.state.status == "finished":
        if plan.state.mlflow != recorded or (path is not None and not path.exists()):
            plan.state.status = "untracked"  # the store has changed, or the previous one is gone
        elif not failed and not stopped and not lacks_trials(plan, read_records(plan)):
            others = options_to_continue(plan.storage)
            raise StorageError(
                f"'{plan.sweep.name}' has finished; there is nothing to resume{others}"
            )
    with _unchanged(plan, options, tasks or {}), locked(plan):
        if failed:
            reopen_failed(plan)
        if stopped:
            reopen_stopped(plan)
        with recorded_session(plan.storage, resumed=True, address=options.address):
            return _run(plan, options, tasks or {}, resumed=True)


def extend_sweep(
    name: str, extension: Extension, options: RunOptions, *, tasks: Tasks | None = None
) -> SweepOutcome:
    """Add seeds, values or sampled trials to a sweep, run what is missing, and report on all.

    Trials that the sweep has keep their ids and results. A sweep that has not finished is resumed,
    too.

    Args:
        name: Name of the sweep.
        extension: What is added.
        options: Where and how trials run; None values keep the setting of the original run.
        tasks: Tasks by name that replace the shipped ones.

    Raises:
        ConfigError: If the extension does not fit the sweep, or a trial cannot start.
        StorageError: If the sweep does not exist, or it is running.
    """
    root = Storage(options.storage)
    folder = root.within(existing_run(name, options.storage).name)
    with locked(read_plan(folder)):
        plan = extended(read_plan(folder), extension)  # no other driver changes it now
        options = _taken_over(plan, root, options, tasks or {})
        prepare_environment(options.address)
        data = _check_trials(plan, options, tasks or {})
        write_extension(plan)
        with recorded_session(folder, resumed=True, address=options.address, data=data):
            return _run(plan, options, tasks or {}, resumed=True)


def _taken_over(plan: Plan, root: Storage, options: RunOptions, tasks: Tasks) -> RunOptions:
    """Return the options, None replaced by the recorded ones, and store them in the plan."""
    recorded = unless_moved(plan.state.mlflow, root, plan.state.identity)
    plan.state.mlflow = options.mlflow or recorded
    options = options.merged_with(plan.state.options)
    plan.state.options = options.for_resume()
    if not runs_here(plan, options, tasks):
        check_address(options.address)
    return options


def _check_trials(plan: Plan, options: RunOptions, tasks: Tasks) -> list[str]:
    """Check that the trials of a sweep can start; return a line for each data set.

    Raises:
        TuneNasError: If one cannot.
    """
    check_metric(plan.sweep, plan.bases)
    trials = [trial for _, _, trial in plan.resolved.trials]
    check_data_keys(data_sections(plan.sweep, trials))
    when_needed.preflight.check_trials(plan, options, tasks)
    if not runs_here(plan, options, tasks):
        check_address(options.address)
    try:
        images = when_needed.preflight.summarize_run_images(trials)
    except DataError:
        if not options.quiet:
            raise
        images = []  # a cluster may have them on its nodes alone
    if not options.quiet:
        for line in dict.fromkeys(each.line for each in images if each.line):
            print(line, file=sys.stderr, flush=True)
    return [each.facts for each in images]


def _single(trial: TrialConfig, name: str | None, **changes: object) -> SweepConfig:
    """Return the sweep of one trial: a search, unless changes make it a retraining run."""
    own = {"name": name or trial.name, "trial": trial.name, "seeds": [trial.seed]}
    return SweepConfig.model_validate({**own, "parameters": {}, "retrain": 0, **changes})


def _start(
    sweep: SweepConfig,
    bases: BaseTrials,
    state: State,
    options: RunOptions,
    tasks: Tasks | None,
    before_start: BeforeStart | None = None,
) -> SweepOutcome:
    """Check everything that can be checked, then write."""
    check_name(sweep.name)
    root = Storage(options.storage)
    storage = root.within(sweep.name)
    check_free(storage, sweep.name, options)
    plan = Plan(storage, sweep, bases, state)
    if not runs_here(plan, options, tasks or {}):
        prepare_environment(options.address)  # before a class of the user's own may import Ray
    with _unchanged(plan, options, tasks or {}):
        data = _check_trials(plan, options, tasks or {})
        return _write_and_run(plan, options, tasks or {}, data, before_start)


def _write_and_run(
    plan: Plan,
    options: RunOptions,
    tasks: Tasks,
    data: Sequence[str],
    before_start: BeforeStart | None,
) -> SweepOutcome:
    """Write the plan of a new run and run it.

    Args:
        plan: The run.
        options: Where and how it runs.
        tasks: Tasks by name that replace the shipped ones.
        data: A line for each data set.
        before_start: Called before anything is written.
    """
    root, storage, state = Storage(options.storage), plan.storage, plan.state
    state.mlflow = options.mlflow or ""
    uri = store_uri(state.mlflow, root)
    if not uri.startswith("sqlite:"):
        Experiment(uri)
    state.options = options.for_resume()
    if before_start is not None:
        before_start()
    made_root = root.local is not None and not root.local.exists()
    with locked(plan):
        # another process may have started it meanwhile
        check_free(storage, plan.sweep.name, options)
        try:
            plan.write()
            with recorded_session(storage, resumed=False, address=options.address, data=data):
                return _run(plan, options, tasks, resumed=False)
        except Exception:  # library errors too: remove a folder in which nothing ran
            if _is_untouched(plan):
                storage.remove()
                if made_root and root.local is not None:
                    _remove_if_empty(root.local)
            raise


def _is_untouched(plan: Plan) -> bool:
    """Return whether a sweep has no result yet, and the files in its folder are its own."""
    there = read_state(plan.storage)
    own = there is None or there.identity == plan.state.identity
    return own and not any(r.history for records in read_records(plan).values() for r in records)


def _run(plan: Plan, options: RunOptions, tasks: Tasks, *, resumed: bool) -> SweepOutcome:
    """Run a sweep to its end, in this process or on Ray, which is imported only then."""
    here = runs_here(plan, options, tasks)
    if here:
        runner = when_needed.local_execution.local_runner(plan, options, tasks)
    else:
        prepare_environment(options.address)
        runner = when_needed.on_ray.ray_runner(plan, options, tasks)
    return when_needed.session.run_session(
        plan, options.storage, runner, resumed=resumed, in_background=here
    )


def _unchanged(plan: Plan, options: RunOptions, tasks: Tasks) -> AbstractContextManager[None]:
    """Restore this process after the block, if the trials of a run change it."""
    if runs_here(plan, options, tasks):
        return when_needed.process_state.restored_state()
    return nullcontext()


def _named(text: str, storage: str) -> str:
    """Return the run that a text names, by its name or by that of one of its trials.

    Raises:
        StorageError: If the run does not exist, or it has no such trial.
    """
    found = existing_run(text, storage, trial=True)
    if found.trial_id and found.trial_id not in found.records(*PHASES):
        raise StorageError(f"'{found.name}' has no trial '{found.trial_id}'; nothing to resume")
    return found.name


def _latest(root: Storage, *, failed: bool) -> str:
    """Return the latest unfinished run; with ``failed``, runs with failed trials count too.

    Raises:
        StorageError: If there is none.
    """
    started = {}
    for name, known in read_states(root):
        state = known or State(started=0.0)
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
