"""Whether a run needs Ray."""

from __future__ import annotations

from tune_nas.errors import ConfigError
from tune_nas.sweep.options import RunOptions
from tune_nas.sweep.phases import phases_of, workers_of
from tune_nas.sweep.ray.environment import is_local
from tune_nas.sweep.runs.plan import Plan
from tune_nas.tasks import Tasks


def runs_here(plan: Plan, options: RunOptions, tasks: Tasks) -> bool:
    """Return whether the trials of a run are run in this process, rather than by Ray.

    A search, an analysis and retraining runs one at a time need no Ray. Ray is used for sweeps, on
    a cluster, in a remote storage, for trials with several workers or with CPUs or GPUs that are
    reserved for them, and for several retraining runs at once.

    Args:
        plan: The run.
        options: Where and how it runs; its ``ray`` decides if both are possible.
        tasks: Tasks that replace those that jobs name.

    Raises:
        ConfigError: If Ray is declined for a run that needs it.
    """
    reason = _needs_ray(plan, options, tasks)
    if options.ray is False and reason:
        raise ConfigError(f"`ray` is false, but must be true for {reason}")
    if options.ray is not None:
        return not options.ray
    in_turn = options.concurrency == 1 or plan.sweep.retrain_grid.runs_per_genotype == 1
    return not reason and in_turn


def _needs_ray(plan: Plan, options: RunOptions, tasks: Tasks) -> str:
    """Return which property of a run needs Ray; empty if none does."""
    if plan.state.kind == "sweep":
        return "a sweep"
    if not is_local(options.address):
        return "a cluster"
    if plan.storage.local is None:
        return "a remote storage"
    if options.cpus_per_trial is not None or options.gpus_per_trial is not None:
        return "reserved CPUs or GPUs"
    if options.shares_processes:
        return "searches that share a process"
    workers = (workers_of(plan, phase, tasks, options.workers) for phase in phases_of(plan))
    return "several workers" if max(workers, default=1) > 1 else ""
