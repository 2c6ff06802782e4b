"""Extending a sweep: further seeds, values or sampled trials; only missing trials run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tune_nas import library
from tune_nas.errors import ConfigError, StorageError
from tune_nas.shipped import nearest
from tune_nas.sweep.config import SweepConfig
from tune_nas.sweep.ineffective_keys import check_swept
from tune_nas.sweep.jobs import Job
from tune_nas.sweep.parameters import TRIAL, Parameter
from tune_nas.sweep.phases import identity, jobs_of, read_records, search_jobs
from tune_nas.sweep.resolution import BaseTrials
from tune_nas.sweep.resolve import base_trials
from tune_nas.sweep.runs.plan import Plan
from tune_nas.sweep.trial_values import portable
from tune_nas.tasks import is_own
from tune_nas.text import plain_text


@dataclass(frozen=True)
class Extension:
    """Seeds, values and trials that are added to a sweep.

    Args:
        seeds: The new number of seeds, or all seeds with the existing ones; None for no change.
        values: Values to add, by swept key; those that the sweep has already are left out.
        trials: The new number of sampled configurations; None for no change.
        more_trials: Number of configurations to add, instead.
    """

    seeds: int | Sequence[int] | None = None
    values: Mapping[str, Sequence[object]] = field(default_factory=dict)
    trials: int | None = None
    more_trials: int | None = None


def extended(plan: Plan, extension: Extension) -> Plan:
    """Return the plan of a sweep with an extension; nothing is written.

    Args:
        plan: The sweep.
        extension: What is added.

    Raises:
        ConfigError: If the extension does not fit the sweep, or adds nothing.
        StorageError: If it is not a sweep, or its records are of other trials.
    """
    sweep = plan.sweep
    if plan.state.kind != "sweep":
        raise StorageError(f"'{sweep.name}' is a {plan.state.kind}; only a sweep can be extended")
    changes: dict[str, Any] = {}
    if extension.seeds is not None:
        changes |= _with_seeds(sweep, extension.seeds)
    if extension.values:
        changes["parameters"] = _with_values(sweep, extension.values)
    if extension.trials is not None or extension.more_trials is not None:
        changes["trials"] = _with_trials(sweep, extension)
    own = library.validate(
        SweepConfig, {**sweep.to_dict(), **changes}, f"sweep '{sweep.name}', extended"
    )
    if own == sweep:
        raise ConfigError(f"'{sweep.name}' has all of this already; there is nothing to add")
    new = Plan(plan.storage, own, _bases(plan, own), replace(plan.state, extended=True))
    if not is_own(own.task):
        check_swept(own, new.resolved.points)
    _check_known(plan)
    return new


def missing_searches(plan: Plan) -> list[Job]:
    """Return the searches of a grid that have no record; empty if the sweep samples."""
    if plan.sweep.searcher != "grid":
        return []
    known = read_records(plan)
    jobs = jobs_of(plan, "search", known)
    return [job for job in jobs if known["search"].get(job.id) is None]


def write_extension(plan: Plan) -> None:
    """Write the plan of an extended sweep; a kill in between leaves the old or the new one.

    The file of the sweep decides: trials that it does not name are not read, and with
    ``extended``, trials are found by their values instead of their numbers, which is right for
    both.
    """
    plan.state.status = "running"
    plan.write_trials()
    plan.write_state()
    plan.write_sweep()


def extent(sweep: SweepConfig) -> str:
    """Return the seeds, the listed values and the number of sampled trials of a sweep."""
    words = [f"seeds {plain_text(sweep.seed_list)}"]
    if sweep.searcher != "grid":
        words.append(f"trials {sweep.n_drawn}")
    listed = {key: p for key, p in sweep.parameters.items() if not p.is_range}
    return "; ".join([*words, *(f"{key} {plain_text(p.values)}" for key, p in listed.items())])


def _with_seeds(sweep: SweepConfig, seeds: int | Sequence[int]) -> dict[str, object]:
    own = seeds if isinstance(seeds, int) else list(seeds)
    most = None if sweep.repeat is None else sweep.repeat.max_seeds
    n_given = own if isinstance(own, int) else len(own)
    if most is not None and n_given >= most:
        raise ConfigError(
            f"seeds is {plain_text(seeds)}, but '{sweep.name}' races over at most {most} seeds "
            "(repeat.max_seeds), which cannot be extended; add trials or values, or start another "
            "sweep"
        )
    content = {**sweep.to_dict(), "seeds": own}
    changed = library.validate(SweepConfig, content, f"sweep '{sweep.name}', extended")
    missing = [seed for seed in sweep.seed_list if seed not in changed.seed_list]
    if missing:
        raise ConfigError(
            f"seeds is {plain_text(seeds)}, which lacks the seed {missing[0]} of "
            f"'{sweep.name}'; a sweep keeps its seeds: {plain_text(sweep.seed_list)}"
        )
    if sweep.searcher == "grid" and sweep.repeat_best:
        raise ConfigError(
            f"'{sweep.name}' repeats its best configurations with the seeds after those of its "
            "grid, so its seeds cannot be extended; add values, or start another sweep"
        )
    changes: dict[str, object] = {"seeds": changed.seeds}
    if sweep.repeat is not None and sweep.repeat.seeds is not None:
        n_seeds = max(len(changed.seed_list), sweep.repeat.seeds)
        changes["repeat"] = {**sweep.repeat.to_dict(), "seeds": n_seeds}
    return changes


def _with_values(
    sweep: SweepConfig, values: Mapping[str, Sequence[object]]
) -> dict[str, dict[str, object]]:
    parameters = {key: parameter.to_dict() for key, parameter in sweep.parameters.items()}
    for key, added in values.items():
        known = sweep.parameters.get(key)
        if known is None:
            swept = ", ".join(sweep.parameters) or "none"
            hint = nearest(key, list(sweep.parameters))
            raise ConfigError(f"'{key}' is not swept in '{sweep.name}'{hint}; swept: {swept}")
        if known.is_range:
            raise ConfigError(
                f"{key} of '{sweep.name}' is a range ({known.kind}), to which no values are "
                "added; add trials"
            )
        new = [value for value in added if value not in known.values]
        parameters[key] = {**parameters[key], known.kind: [*known.values, *new]}
    return parameters


def _with_trials(sweep: SweepConfig, extension: Extension) -> int:
    if sweep.searcher == "grid":
        raise ConfigError(
            f"'{sweep.name}' is a grid, which has no number of trials; add seeds or values"
        )
    total = extension.trials
    if total is None:
        total = sweep.n_drawn + (extension.more_trials or 0)
    if total < sweep.n_drawn:
        raise ConfigError(
            f"trials is {total}, but '{sweep.name}' has {sweep.n_drawn} already; give more, or "
            "+N to add N"
        )
    return total


def _bases(plan: Plan, sweep: SweepConfig) -> BaseTrials:
    """Return the trials that an extended sweep varies: the stored ones, and those that are new."""
    swept = sweep.parameters.get(TRIAL)
    values = [] if swept is None else swept.values
    new = [value for value in values if str(value) not in plan.bases.trials]
    if not new:
        return plan.bases
    only_new = {**sweep.parameters, TRIAL: Parameter(choice=new)}
    added = base_trials(sweep.model_copy(update={"parameters": only_new})).trials
    here = str(Path.cwd())
    own = {name: portable(trial, here) for name, trial in added.items()}
    return replace(plan.bases, trials={**plan.bases.trials, **own})


def _check_known(plan: Plan) -> None:
    """Check that the searches of a grid are found by their values, not only by their numbers.

    Raises:
        StorageError: If a record has other values than each trial of the grid.
    """
    if plan.sweep.searcher != "grid":
        return
    jobs = search_jobs(plan.resolved.trials, plan.bases.folder, plan.sweep.task)
    known = {identity(job) for job in jobs}
    for record in read_records(plan)["search"]:
        if identity(record.job) not in known:
            raise StorageError(
                f"'{plan.sweep.name}' has the trial {record.job.id}, with values that its plan "
                "does not have, e.g. of an earlier version; start another sweep"
            )
