"""The phases of a sweep: search, repeat the best over seeds, retrain the genotypes."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from tune_nas.config import TrialConfig
from tune_nas.report.race import race_of, repeat_outcomes, run_race
from tune_nas.report.ranking import Ranked, best_first
from tune_nas.report.results import PHASES
from tune_nas.report.rows import configuration_of, distinct, has_diverged
from tune_nas.status import Status
from tune_nas.sweep import lazy_optuna
from tune_nas.sweep.config import SweepConfig, race_rule
from tune_nas.sweep.frontier import Winner, best_of_sizes, frontier
from tune_nas.sweep.jobs import Job
from tune_nas.sweep.objective_values import feasible_of, point_of
from tune_nas.sweep.race_source import RaceSource
from tune_nas.sweep.resolution import BaseTrials, resolve
from tune_nas.sweep.retrain_grid import FRONTIER, MODEL_SIZES
from tune_nas.sweep.retrain_trials import with_settings
from tune_nas.sweep.runs.plan import Plan
from tune_nas.sweep.runs.record import Record
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.sources import ListSource, Source
from tune_nas.sweep.sweep_objectives import search_objectives
from tune_nas.sweep.trial_values import portable
from tune_nas.tasks import Inputs, Task, Tasks, find_task, task_of, with_workers

_STUDY = "optuna.db"
_OF_ONE_GENOTYPE = ("retrain", "analysis")  # kinds of runs, with a phase and a task of that name

Parameters = Mapping[str, object]
"""Swept keys with their values."""

Known = Mapping[str, Records]
"""The records of each phase, by name."""


@dataclass(frozen=True)
class Phase:
    """A part of a sweep; all of its jobs end before the next phase starts.

    Args:
        name: Name of the phase, and of its folder.
        task: Name of the task of its jobs; ``search`` for black-box searches too (`task_of`).
        source: Returns the source of the jobs, given the records of all phases; None if nothing is
            left to run.
        early_stopping: Whether the sweep's scheduler may stop its trials.
    """

    name: str
    task: str
    source: Callable[[Known], Source | None]
    early_stopping: bool = False


def phases_of(plan: Plan) -> list[Phase]:
    """Return the phases of a sweep in order."""
    sweep = plan.sweep

    def listed(name: str) -> Callable[[Known], Source | None]:
        return lambda known: _unless_done(ListSource(jobs_of(plan, name, known), known[name]))

    kind = plan.state.kind
    if kind in _OF_ONE_GENOTYPE:
        return [Phase(kind, kind, listed(kind))]
    grid = sweep.searcher == "grid"
    search = listed("search") if grid else lambda known: _sampling(plan, known["search"])
    phases = [Phase("search", sweep.task, search, early_stopping=True)]
    if sweep.repeat_best:
        repeat = listed("repeat") if race_rule(sweep) is None else partial(_racing, plan)
        phases.append(Phase("repeat", sweep.task, repeat))
    if sweep.retrained:
        phases.append(Phase("retrain", "retrain", listed("retrain")))
    return phases


def task_in(phase: Phase, trial: TrialConfig, tasks: Tasks) -> Task:
    """Return the task of a trial in a phase.

    Args:
        phase: The phase.
        trial: The trial.
        tasks: Tasks that replace those that the phase names.
    """
    return tasks.get(phase.task) or find_task(task_of(phase.task, trial))


def workers_of(plan: Plan, phase: Phase, tasks: Tasks, workers: int | None) -> int:
    """Return the maximum number of workers that a trial of a sweep has in a phase.

    Args:
        plan: The sweep.
        phase: The phase.
        tasks: Tasks that replace those that the phases name.
        workers: Number of workers instead of those of the trials; None for those.
    """
    trials = [with_workers(trial, workers) for _, _, trial in plan.resolved.trials]
    return max((task_in(phase, trial, tasks).workers(trial) for trial in trials), default=1)


def jobs_of(plan: Plan, name: str, known: Known) -> list[Job]:
    """Return the jobs of a phase whose jobs are known when it starts, or of a race so far.

    Args:
        plan: The sweep.
        name: The phase; ``search`` of a grid, ``repeat``, ``retrain`` or ``analysis``.
        known: The records of all phases.
    """
    if name == "search":
        jobs = search_jobs(plan.resolved.trials, plan.bases.folder, plan.sweep.task)
        return with_known_ids(jobs, known["search"]) if plan.state.extended else jobs
    if name == "repeat":
        return repeat_jobs(plan.sweep, plan.bases, known["search"], known["repeat"])
    if plan.state.kind in _OF_ONE_GENOTYPE:
        return _jobs_of_one_genotype(plan, name)
    genotypes = retrain_jobs(plan.sweep, known["search"], known["repeat"])
    return with_known_ids(with_settings(plan.sweep, plan.bases, genotypes), known["retrain"])


def search_jobs(
    trials: Iterable[tuple[Parameters, int, TrialConfig]], folder: str, task: str = "search"
) -> list[Job]:
    """Return the searches of a grid.

    Args:
        trials: As `resolve_trials` returns them.
        folder: Directory that relative paths in them are relative to.
        task: Name of their task.
    """
    return [
        Job(
            id=f"search-{number:05d}",
            task=task_of(task, trial),
            phase="search",
            trial=portable(trial, folder),
            parameters=parameters,
        )
        for number, (parameters, _, trial) in enumerate(trials)
    ]


def repeat_jobs(
    sweep: SweepConfig,
    bases: BaseTrials,
    searched: Records,
    repeated: Iterable[Record] = (),
) -> list[Job]:
    """Return the searches that repeat the best configurations over new seeds.

    In a race, these are the searches that are due, given the repeats that have ended.
    """
    if race_rule(sweep) is not None:
        return race_jobs(sweep, bases, searched, repeated)[0]
    best = [group[0].job.parameters for group in ranked(sweep, searched)[: sweep.repeat_best]]
    pairs = [(parameters, seed) for parameters in best for seed in sweep.repeat_seeds]
    return _repeats(sweep, bases, pairs, repeated)


def race_jobs(
    sweep: SweepConfig, bases: BaseTrials, searched: Records, repeated: Iterable[Record]
) -> tuple[list[Job], int]:
    """Return the repeats of a race that are due, and the most that there may be in all."""
    rule = race_rule(sweep)
    assert rule is not None  # the sweep has no race otherwise
    axes, repeated = list(sweep.parameters), list(repeated)
    best = [group[0].job.parameters for group in ranked(sweep, searched)[: sweep.repeat_best]]
    entrants = {configuration_of(axes, parameters): parameters for parameters in best}
    ended = [record.result() for record in repeated if record.ended]
    known = repeat_outcomes(axes, ended, rule.metric)
    race = run_race(rule, {entrant: known.get(entrant, {}) for entrant in entrants})
    pairs = [(entrants[entrant], seed) for entrant, seed in race.trials]
    return _repeats(sweep, bases, pairs, repeated), race.total(rule)


def _repeats(
    sweep: SweepConfig,
    bases: BaseTrials,
    pairs: Iterable[tuple[Parameters, int]],
    repeated: Iterable[Record],
) -> list[Job]:
    """Return the searches of configurations with seeds, under the ids that they had before."""
    jobs: list[Job] = []
    for parameters, seed in pairs:
        trial = portable(resolve(sweep, bases, parameters, seed), bases.folder)
        job_id = f"repeat-{len(jobs):05d}"
        jobs.append(Job(job_id, task_of(sweep.task, trial), "repeat", trial, parameters))
    return with_known_ids(jobs, repeated)


def retrain_jobs(sweep: SweepConfig, searched: Records, repeated: Records) -> list[Job]:
    """Return a retraining run of each genotype that ``retrain`` chooses."""
    if sweep.retrained == 0:
        return []
    if sweep.retrained == FRONTIER:
        return _retraining([Winner.of(r) for r in frontier(sweep, [*searched, *repeated])])
    if sweep.retrained == MODEL_SIZES:
        return _retraining(best_of_sizes(sweep, [*searched, *repeated]))
    groups = ranked(sweep, repeated if len(repeated) else searched)
    if isinstance(sweep.retrained, int):
        count = sweep.retrained
    else:
        sampled = sweep.searcher != "grid" and not len(repeated)
        count = 1 if sampled else len(groups)
    choose = max if sweep.mode == "max" else min
    best = [choose(group, key=lambda record: _point(sweep, record)[0]) for group in groups[:count]]
    return _retraining([Winner.of(record) for record in best])


def _retraining(winners: Iterable[Winner]) -> list[Job]:
    return [
        Job(
            id=f"retrain-{number:05d}",
            task="retrain",
            phase="retrain",
            trial=winner.record.job.trial,
            parameters={**winner.record.job.parameters, **winner.parameters},
            inputs=Inputs(genotype=winner.genotype, parent=winner.record.job.id),
        )
        for number, winner in enumerate(winners)
    ]


def _jobs_of_one_genotype(plan: Plan, phase: str) -> list[Job]:
    """Return the jobs of a run that retrains a given genotype or analyzes edges of a search."""
    state = plan.state
    job = Job(
        id=f"{phase}-00000",
        task=phase,
        phase=phase,
        trial=portable(plan.bases.first, plan.bases.folder),
        inputs=Inputs(genotype=state.genotype, parent_run=state.parent_run),
    )
    jobs = [job] if phase == "analysis" else with_settings(plan.sweep, plan.bases, [job])
    return [dataclasses.replace(job, id=f"{phase}-{number:05d}") for number, job in enumerate(jobs)]


def _unless_done(source: ListSource) -> ListSource | None:
    return source if source.left else None


def _racing(plan: Plan, known: Known) -> RaceSource | None:
    """Return the source of a race over seeds; None if it is over."""

    def due() -> tuple[list[Job], int]:
        return race_jobs(plan.sweep, plan.bases, known["search"], known["repeat"])

    source = RaceSource(due, known["repeat"])
    return source if source.left else None


def _sampling(plan: Plan, records: Records) -> Source | None:
    """Return the source of searches whose parameters Optuna samples."""
    if len(records) == plan.sweep.n_drawn and all(record.ended for record in records):
        return None
    local = plan.storage.local
    if local is not None:
        # The study is rebuilt from the records, so a damaged file does not matter.
        for leftover in local.glob(f"{_STUDY}*"):
            leftover.unlink()
    url = None if local is None else f"sqlite:///{local / _STUDY}"
    return lazy_optuna.optuna_source.OptunaSource(plan.sweep, plan.bases, records, url)


def read_records(plan: Plan) -> dict[str, Records]:
    """Return the records of each phase of a sweep.

    Raises:
        StorageError: If a record cannot be read; names the file.
    """
    return {name: Records(plan.storage, name) for name in PHASES}


def lacks_trials(plan: Plan, known: Known) -> bool:
    """Return whether a sweep has trials without a record, e.g. because one was removed."""
    for phase in phases_of(plan):
        if phase.name == "search" and plan.sweep.searcher != "grid":
            ids = [f"search-{number:05d}" for number in range(plan.sweep.n_drawn)]
        else:
            ids = [job.id for job in jobs_of(plan, phase.name, known)]
        if any(known[phase.name].get(job_id) is None for job_id in ids):
            return True
    return False


def with_known_ids(jobs: Iterable[Job], records: Iterable[Record]) -> list[Job]:
    """Return jobs with the ids under which they were started before; the others get unused ids.

    The best configurations may have changed since a phase was started, e.g. if a failed trial was
    retried.
    """
    known = {identity(record.job): record.job.id for record in records}
    used, numbers = set(known.values()), itertools.count()

    def unused(phase: str) -> str:
        ids = (f"{phase}-{number:05d}" for number in numbers)
        return next(job_id for job_id in ids if job_id not in used)

    return [
        dataclasses.replace(job, id=known.get(identity(job)) or unused(job.phase)) for job in jobs
    ]


def identity(job: Job) -> str:
    """Return everything that distinguishes a job from others of its phase, as text.

    It is the same before and after the job was stored, where tuples have become lists.
    """
    given = job.inputs
    content = (sorted(job.parameters.items()), job.seed, given.genotype, given.parent)
    return json.dumps(content)


def ranked(sweep: SweepConfig, records: Iterable[Record]) -> list[list[Record]]:
    """Return the finished trials by configuration, in the order of `best_first`, as in the report.

    If they are repeats of a race, a configuration that was dropped is after those that were not.

    Trials that were stopped early or failed are left out, since their last value is of another
    epoch. So are trials that diverged, and all but one of identical searches; configurations that
    violate a constraint on average, and trials that do so.
    """
    records = list(records)
    groups: dict[str, list[Record]] = {}
    ended = [record.result() for record in records if record.ended]
    race = race_of(list(sweep.parameters), ended, race_rule(sweep))
    for record in records:
        groups.setdefault(repr(sorted(record.job.parameters.items())), []).append(record)
    configurations: list[Ranked] = []
    trials: list[list[Record]] = []
    for group in groups.values():
        results = distinct([record.result() for record in group])
        lost = {r.trial_id for r in results if has_diverged(r, sweep.search_metric)}
        kept = {r.trial_id for r in results} - lost
        known = [record for record in group if record.job.id in kept and _is_known(sweep, record)]
        feasible = feasible_of(sweep, known)
        if feasible:
            values = configuration_of(list(sweep.parameters), group[0].job.parameters)
            survived = math.inf if race is None else race.survived(values)
            configurations.append(Ranked(_means(sweep, known), values, bool(lost), survived))
            trials.append(feasible)
    return [trials[index] for index in best_first(configurations, search_objectives(sweep))]


def _means(sweep: SweepConfig, records: Iterable[Record]) -> tuple[float, ...]:
    """Return the mean of each objective of some searches."""
    points = [_point(sweep, record) for record in records]
    return tuple(statistics.fmean(values) for values in zip(*points, strict=True))


def _is_known(sweep: SweepConfig, record: Record) -> bool:
    """Return whether a trial ran to its end and can be ranked."""
    known = point_of(sweep, record) is not None and record.genotype is not None
    return record.status is Status.FINISHED and known


def _point(sweep: SweepConfig, record: Record) -> tuple[float, ...]:
    point = point_of(sweep, record)
    assert point is not None  # `ranked` leaves out trials without a value
    return point
