"""Running a sweep from its first trial to its report, and going on with one that was cut short."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tune_nas.config import TrialConfig
from tune_nas.errors import ConfigError, StorageError
from tune_nas.sweep.cluster import (
    check_address,
    connect,
    hidden_warnings,
    is_local,
    prepare_environment,
    trials_at_once,
)
from tune_nas.sweep.config import RETRAIN_METRIC, SweepConfig
from tune_nas.sweep.locking import check_free, locked, locked_in_cluster
from tune_nas.sweep.options import RunOptions
from tune_nas.sweep.outcome import SweepOutcome, conclude
from tune_nas.sweep.plan import STATE, Plan, State, read_plan, read_state
from tune_nas.sweep.records import Job, Records
from tune_nas.sweep.resolve import (
    BaseTrials,
    base_trials,
    check_metric,
    portable,
    resolve_trials,
)
from tune_nas.sweep.stages import STAGES, repeat_jobs, retrain_jobs, search_jobs
from tune_nas.sweep.storage import Storage
from tune_nas.text import brief, printable
from tune_nas.tracking import Tracker, TrackerSettings
from tune_nas.tracking.store import one_line, sqlite_uri

if TYPE_CHECKING:
    from tune_nas.sweep.execution import StageRunner, Trainables

_LOG = "log.txt"
_LONGEST_NAME = 200  # bytes; file systems take 255, and MLflow adds to it


def run_sweep(
    sweep: SweepConfig,
    options: RunOptions,
    name: str | None = None,
    *,
    trainables: Trainables | None = None,
) -> SweepOutcome:
    """Run a sweep: search, repeat, retrain, report.

    Args:
        sweep: From `load_sweep`.
        options: Where and how.
        name: Folder and MLflow name; None for the sweep's own.
        trainables: What runs the trials.

    Raises:
        ConfigError: If a trial cannot start.
        NameTakenError: If the name exists.
        StorageError: If storage, cluster or MLflow store cannot be used.
    """
    sweep = sweep.model_copy(update={"name": name or sweep.name})
    return _start(sweep, base_trials(sweep), State(kind="sweep"), options, trainables)


def run_search(
    trial: TrialConfig,
    options: RunOptions,
    name: str | None = None,
    *,
    trainables: Trainables | None = None,
) -> SweepOutcome:
    """Run one search, tracked and resumable as those of a sweep; for what is raised see there."""
    sweep = _single(trial, name)
    bases = BaseTrials({trial.name: trial})
    return _start(sweep, bases, State(kind="search"), options, trainables)


def run_retrain(
    trial: TrialConfig,
    genotype: str,
    options: RunOptions,
    name: str | None = None,
    *,
    parent_run: str | None = None,
    trainables: Trainables | None = None,
) -> SweepOutcome:
    """Train one genotype from scratch, tracked and resumable; for what is raised see `run_sweep`.

    Args:
        trial: Its space, data and ``retrain`` section count.
        genotype: As YAML, or in any other form that is read.
        options: Where and how.
        name: Folder and MLflow name; None for the trial's own.
        parent_run: MLflow run that the genotype comes from.
        trainables: What runs the training.
    """
    state = State(kind="retrain", genotype=str(genotype), parent_run=parent_run)
    sweep = _single(trial, name, metric=RETRAIN_METRIC, retrain=1)
    return _start(sweep, BaseTrials({trial.name: trial}), state, options, trainables)


def resume_sweep(
    name: str | None, options: RunOptions, *, trainables: Trainables | None = None
) -> SweepOutcome:
    """Go on with a sweep, search or retrain after a crash, a Ctrl-C or a power cut.

    Args:
        name: Of the folder; None for the latest that has not finished.
        options: Where and how; what is None stays as it was when it was started.
        trainables: What runs the trials.

    Raises:
        StorageError: If there is nothing to resume, or it is running.
    """
    root = Storage(options.storage)
    plan = read_plan(root.within(name or _latest(root)))
    if plan.state.status == "finished":
        raise StorageError(f"'{plan.sweep.name}' has finished; there is nothing to resume")
    options = options.or_else(plan.state.options)
    plan.state.options = options.kept()
    check_address(options.address)
    with locked(plan):
        return _run(plan, options, trainables, resumed=True)


def _single(trial: TrialConfig, name: str | None, **changes: Any) -> SweepConfig:
    """Return the sweep of one trial: a search, unless changes make it a retrain."""
    own = {"name": name or trial.name, "trial": trial.name, "seeds": [trial.seed]}
    return SweepConfig.model_validate({**own, "parameters": {}, "retrain": 0, **changes})


def _start(
    sweep: SweepConfig,
    bases: BaseTrials,
    state: State,
    options: RunOptions,
    trainables: Trainables | None,
) -> SweepOutcome:
    """Check everything that can be checked; only then write."""
    prepare_environment(options.address)
    _check_name(sweep.name)
    root = Storage(options.storage)
    storage = root.within(sweep.name)
    check_free(storage, sweep.name, options)
    check_metric(sweep, bases)
    trials = [trial for _, _, trial in resolve_trials(sweep, bases)]
    if is_local(options.address):
        _check_devices(trials)
    here = is_local(options.address)
    _preflight(trials, state, trainables, retrains=sweep.retrain != 0, here=here)
    check_address(options.address)
    state.mlflow = _mlflow_uri(options, root)
    if not state.mlflow.startswith("sqlite:"):
        Tracker(state.mlflow)
    state.options = options.kept()
    plan = Plan(storage, sweep, bases, state)
    made_root = root.local is not None and not root.local.exists()
    with locked(plan):
        check_free(storage, sweep.name, options)  # nobody else has begun it meanwhile
        try:
            plan.write()
            return _run(plan, options, trainables, resumed=False)
        except Exception:  # of a library too: a folder in which nothing ran must not stay
            if _is_untouched(plan):
                storage.remove()
                if made_root and root.local is not None:
                    _remove_if_empty(root.local)
            raise


def _check_name(name: str) -> None:
    """Raise a ConfigError if a name is not that of a folder, or would not print as it is."""
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
    """Whether nothing has run of a sweep, and what lies there is its own."""
    there = read_state(plan.storage)
    own = there is None or there.identity == plan.state.identity
    return own and not plan.storage.names("search") and not plan.storage.names("retrain")


def _run(
    plan: Plan, options: RunOptions, trainables: Trainables | None, *, resumed: bool
) -> SweepOutcome:
    prepare_environment(options.address)  # before anything imports ray
    from tune_nas.sweep.execution import StageRunner, Trainables
    from tune_nas.sweep.reconcile import reconcile

    uri = options.mlflow or plan.state.mlflow or _mlflow_uri(options, Storage(options.storage))
    settings = TrackerSettings(uri)
    with (
        _logging_to(plan.storage),
        connect(options.address),
        locked_in_cluster(plan, options.address),
    ):
        trials_at_once(options)  # whether there is room, before MLflow hears of anything
        tracker = settings.open()
        sweep_run = tracker.sweep_run(
            plan.sweep.name,
            plan.sweep.to_dict(),
            {"tune_nas.kind": plan.state.kind},
            identity=plan.state.identity,
        )
        with _closing(tracker, sweep_run):
            stages = {stage: Records(plan.storage, stage) for stage in STAGES}
            if resumed:
                for records in stages.values():
                    reconcile(tracker, sweep_run, records, plan.sweep.search_metric)
            runner = StageRunner(plan, options, trainables or Trainables(), settings, sweep_run)
            if plan.state.kind == "retrain":
                _enter(plan, "retrain")
                runner.run_list("retrain", [_given_genotype(plan)], stages["retrain"])
            else:
                _run_stages(plan, runner, stages)
            outcome = conclude(plan, list(stages.values()), tracker, sweep_run)
            plan.write_state(status="finished")
    return outcome


@contextmanager
def _logging_to(storage: Storage) -> Iterator[None]:
    """Keep what libraries warn of in the sweep's log; a remote one is added to at the end."""
    if storage.local is not None:
        with hidden_warnings(storage.local / _LOG):
            yield
        return
    with TemporaryDirectory() as folder:
        path = Path(folder, _LOG)
        try:
            with hidden_warnings(path):
                yield
        finally:
            if path.exists():
                storage.write(_LOG, (storage.read(_LOG) or "") + path.read_text(encoding="utf-8"))


@contextmanager
def _closing(tracker: Tracker, sweep_run: str) -> Iterator[None]:
    """Leave no sweep's run RUNNING after a Ctrl-C, or after an error that ends the sweep."""
    try:
        yield
    except KeyboardInterrupt:
        tracker.finish(sweep_run, "KILLED", reason="interrupted by Ctrl-C; a resume goes on")
        raise
    except Exception as error:
        tracker.finish(sweep_run, "FAILED", error=one_line(error))
        raise


def _run_stages(plan: Plan, runner: StageRunner, stages: dict[str, Records]) -> None:
    sweep, bases = plan.sweep, plan.bases
    _enter(plan, "search")
    if sweep.searcher == "grid":
        runner.run_list("search", search_jobs(sweep, bases), stages["search"])
    else:
        runner.run_drawn(stages["search"])
    if sweep.repeat_best:
        _enter(plan, "repeat")
        runner.run_list("repeat", repeat_jobs(sweep, bases, stages["search"]), stages["repeat"])
    if sweep.retrain:
        _enter(plan, "retrain")
        jobs = retrain_jobs(sweep, stages["search"], stages["repeat"])
        runner.run_list("retrain", jobs, stages["retrain"])


def _given_genotype(plan: Plan) -> Job:
    return Job(
        id="retrain-00000",
        stage="retrain",
        parameters={},
        seed=plan.bases.first.seed,
        trial=portable(plan.bases.first, plan.bases.folder).to_dict(),
        genotype=plan.state.genotype,
        parent_run=plan.state.parent_run,
    )


def _enter(plan: Plan, stage: str) -> None:
    plan.write_state(stage=stage)


def _check_devices(trials: list[TrialConfig]) -> None:
    """Raise a ConfigError if a trial's device is not on this machine, which is to run it."""
    from tune_nas.runtime import resolve_device

    for device in {trial.runtime.device for trial in trials}:
        resolve_device(device)


def _preflight(
    trials: list[TrialConfig],
    state: State,
    trainables: Trainables | None,
    *,
    retrains: bool,
    here: bool,
) -> None:
    """Build one trial of each kind, so that what cannot start is known before anything is written.

    Args:
        trials: All of them.
        state: Tells whether they are searches or the training of a given genotype.
        trainables: What runs them.
        retrains: Whether anything is retrained, which also takes the test images.
        here: Whether they run on this machine, whose memory then has to be enough.

    Raises:
        TuneNasError: What the trial's own parts say.
    """
    from tune_nas.sweep.execution import Trainables

    found = trainables or Trainables()
    if state.kind != "retrain":
        kinds: dict[str, TrialConfig] = {}
        for trial in trials:
            parts = (
                (trial.name, trial.space, trial.data, trial.benchmark),
                (trial.relaxation, trial.update.phases, trial.schedule, trial.selection),
                trial.start_from,
            )
            kinds.setdefault(repr(parts), trial)
        for trial in kinds.values():
            if here:
                found.search.check_memory(trial)
            found.search.check(trial)
    if retrains:
        recipes = {repr((t.data, t.space.name, t.retrain)): t for t in trials}
        for trial in recipes.values():
            if here:
                found.retrain.check_memory(trial, state.genotype)
            found.retrain.check(trial, state.genotype)


def _mlflow_uri(options: RunOptions, root: Storage) -> str:
    if options.mlflow:
        return options.mlflow
    if root.local is None:
        raise StorageError(
            f"storage {root.root} is remote, where no sqlite file can be; give an MLflow server: "
            "--mlflow http://HOST:PORT"
        )
    return sqlite_uri(root.local / "mlflow.db")


def _latest(root: Storage) -> str:
    started = {}
    for name in root.names():
        if STATE in root.names(name):
            state = read_state(root.within(name)) or State(started=0.0)
            if state.status != "finished":
                started[name] = state.started
    if not started:
        raise StorageError(f"there is nothing to resume in {root.root}")
    return max(started, key=lambda name: started[name])


def _remove_if_empty(folder: Path) -> None:
    if not folder.is_dir():
        return
    names = {path.name for path in folder.iterdir()}
    if names <= {"mlflow.db"}:
        for name in names:
            (folder / name).unlink()
        folder.rmdir()
