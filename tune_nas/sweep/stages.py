"""The stages of a sweep: search, repeat the best over seeds, retrain what was found."""

from __future__ import annotations

import dataclasses
import itertools
import math
import statistics
from collections.abc import Iterable, Mapping

from tune_nas.report.rows import distinct, has_diverged
from tune_nas.sweep.config import SweepConfig
from tune_nas.sweep.plan import Plan
from tune_nas.sweep.records import Job, Record, Records
from tune_nas.sweep.resolve import BaseTrials, portable, resolve, resolve_trials

STAGES = ("search", "repeat", "retrain")


def search_jobs(sweep: SweepConfig, bases: BaseTrials) -> list[Job]:
    """Return the searches of a grid."""
    jobs: list[Job] = []
    for parameters, seed, resolved in resolve_trials(sweep, bases):
        trial = portable(resolved, bases.folder).to_dict()
        jobs.append(Job(f"search-{len(jobs):05d}", "search", parameters, seed, trial))
    return jobs


def repeat_jobs(
    sweep: SweepConfig,
    bases: BaseTrials,
    searched: Records,
    repeated: Iterable[Record] = (),
) -> list[Job]:
    """Return the searches that repeat the best configurations over new seeds."""
    jobs: list[Job] = []
    for group in ranked(sweep, searched)[: sweep.repeat_best]:
        parameters = group[0].job.parameters
        for seed in sweep.repeat_seeds:
            resolved = resolve(sweep, bases, parameters, seed)
            trial = portable(resolved, bases.folder).to_dict()
            jobs.append(Job(f"repeat-{len(jobs):05d}", "repeat", parameters, seed, trial))
    return with_known_ids(jobs, repeated)


def retrain_jobs(
    sweep: SweepConfig,
    searched: Records,
    repeated: Records,
    retrained: Iterable[Record] = (),
) -> list[Job]:
    """Return the retrains: the best genotype of every swept value, or of the best ones."""
    if sweep.retrain == 0:
        return []
    groups = ranked(sweep, repeated if len(repeated) else searched)
    if sweep.retrain == "each":
        drawn = sweep.searcher != "grid" and not len(repeated)
        count = 1 if drawn else len(groups)
    else:
        count = sweep.retrain
    best = [max(group, key=lambda record: _score(sweep, record)) for group in groups[:count]]
    jobs = [
        Job(
            id=f"retrain-{number:05d}",
            stage="retrain",
            parameters=record.job.parameters,
            seed=record.job.seed,
            trial=record.job.trial,
            genotype=record.genotype,
            parent=record.job.id,
        )
        for number, record in enumerate(best)
    ]
    return with_known_ids(jobs, retrained)


def read_phases(plan: Plan) -> dict[str, Records]:
    """Return the records of each stage of a sweep.

    Raises:
        StorageError: If a record cannot be read; names the file.
    """
    return {stage: Records(plan.storage, stage) for stage in STAGES}


def lacks_trials(plan: Plan, phases: Mapping[str, Records]) -> bool:
    """Return whether a sweep has trials without a record, e.g. as a record was removed."""
    sweep, bases = plan.sweep, plan.bases
    search, repeat, retrain = (phases[stage] for stage in STAGES)
    if plan.state.kind == "retrain":
        return not len(retrain)
    if sweep.searcher != "grid":
        wanted = [search.get(f"search-{number:05d}") for number in range(sweep.n_drawn)]
    else:
        wanted = [search.get(job.id) for job in search_jobs(sweep, bases)]
    if sweep.repeat_best:
        wanted += [repeat.get(job.id) for job in repeat_jobs(sweep, bases, search, repeat)]
    wanted += [retrain.get(job.id) for job in retrain_jobs(sweep, search, repeat, retrain)]
    return None in wanted


def with_known_ids(jobs: Iterable[Job], records: Iterable[Record]) -> list[Job]:
    """Return jobs with the ids under which they were started before, and unused ids for the rest.

    What is best may have changed since a phase was begun: a failed trial was tried again.
    """
    known = {_identity(record.job): record.job.id for record in records}
    used, numbers = set(known.values()), itertools.count()

    def unused(stage: str) -> str:
        ids = (f"{stage}-{number:05d}" for number in numbers)
        return next(job_id for job_id in ids if job_id not in used)

    return [
        dataclasses.replace(job, id=known.get(_identity(job)) or unused(job.stage)) for job in jobs
    ]


def _identity(job: Job) -> str:
    return repr((sorted(job.parameters.items()), job.seed, job.genotype, job.parent))


def ranked(sweep: SweepConfig, records: Iterable[Record]) -> list[list[Record]]:
    """Return the finished trials by configuration, the configuration of the best mean first.

    Trials that were stopped early or failed are left out: their last value is of another epoch. So
    are those that diverged, and of equal searches all but one. A configuration of which a seed
    diverged comes after all others: the mean of the other seeds cannot be compared.
    """
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(repr(sorted(record.job.parameters.items())), []).append(record)
    ranks: list[tuple[bool, float, list[Record]]] = []
    for group in groups.values():
        results = distinct([record.result() for record in group])
        lost = {r.trial_id for r in results if has_diverged(r, sweep.search_metric)}
        kept = {r.trial_id for r in results} - lost
        known = [record for record in group if record.job.id in kept and _is_known(sweep, record)]
        if known:
            mean = statistics.mean(_score(sweep, record) for record in known)
            ranks.append((not lost, mean, known))
    return [known for *_, known in sorted(ranks, key=lambda rank: rank[:2], reverse=True)]


def _is_known(sweep: SweepConfig, record: Record) -> bool:
    """Whether a trial ran to its end and can be ranked."""
    value = record.value(sweep.search_metric)
    known = value is not None and math.isfinite(value) and record.genotype is not None
    return record.status == "finished" and known


def _score(sweep: SweepConfig, record: Record) -> float:
    """Return the metric, turned so that more is better."""
    value = record.value(sweep.search_metric)
    assert value is not None  # `ranked` leaves out those without
    return value if sweep.mode == "max" else -value
