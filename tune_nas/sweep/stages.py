"""The stages of a sweep: search, repeat the best over seeds, retrain what was found."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tune_nas.benchmark import AUTO
from tune_nas.config import TrialConfig
from tune_nas.paths import absolute
from tune_nas.sweep.config import SweepConfig
from tune_nas.sweep.records import Job, Record, Records
from tune_nas.sweep.resolve import BaseTrials, resolve, resolve_trials

STAGES = ("search", "repeat", "retrain")


def search_jobs(sweep: SweepConfig, bases: BaseTrials) -> list[Job]:
    """Return the searches of a grid."""
    return [
        Job(f"search-{number:05d}", "search", parameters, seed, portable(trial))
        for number, (parameters, seed, trial) in enumerate(resolve_trials(sweep, bases))
    ]


def repeat_jobs(sweep: SweepConfig, bases: BaseTrials, searched: Records) -> list[Job]:
    """Return the searches that repeat the best configurations over new seeds."""
    jobs: list[Job] = []
    for group in ranked(sweep, searched)[: sweep.repeat_best]:
        parameters = group[0].job.parameters
        for seed in sweep.repeat_seeds:
            trial = portable(resolve(sweep, bases, parameters, seed))
            jobs.append(Job(f"repeat-{len(jobs):05d}", "repeat", parameters, seed, trial))
    return jobs


def retrain_jobs(sweep: SweepConfig, searched: Records, repeated: Records) -> list[Job]:
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
    return [
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


def ranked(sweep: SweepConfig, records: Iterable[Record]) -> list[list[Record]]:
    """Return the finished trials by configuration, the configuration of the best mean first.

    Trials that were stopped early or failed are left out: their last value is of another epoch.
    """
    groups: dict[str, list[Record]] = {}
    for record in records:
        known = record.value(sweep.search_metric) is not None and record.genotype is not None
        if record.status == "finished" and known:
            groups.setdefault(repr(sorted(record.job.parameters.items())), []).append(record)
    return sorted(
        groups.values(),
        key=lambda group: statistics.mean(_score(sweep, record) for record in group),
        reverse=True,
    )


def portable(trial: TrialConfig) -> dict[str, Any]:
    """Return a trial as plain containers, its paths absolute: workers run in other folders."""
    content = trial.to_dict()
    if Path(trial.space.name).is_file():
        content["space"]["name"] = absolute(trial.space.name)
    if trial.data.dir is not None:
        content["data"]["dir"] = absolute(trial.data.dir)
    if trial.start_from is not None:
        content["start_from"] = absolute(trial.start_from)
    if trial.benchmark.table not in (None, AUTO):
        content["benchmark"]["table"] = absolute(trial.benchmark.table)
    return content


def _score(sweep: SweepConfig, record: Record) -> float:
    """Return the metric, turned so that more is better."""
    value = record.value(sweep.search_metric)
    assert value is not None  # `ranked` leaves out those without
    return value if sweep.mode == "max" else -value
