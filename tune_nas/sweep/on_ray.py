"""A session of a sweep on Ray.

Ray is imported with this module, so `prepare_environment` must have been called before.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

from tune_nas.sweep.options import RunOptions
from tune_nas.sweep.phase_runner import MakeRunner
from tune_nas.sweep.phases import phases_of, workers_of
from tune_nas.sweep.ray.cluster import connect, registered, trials_at_once
from tune_nas.sweep.ray.environment import is_local
from tune_nas.sweep.ray.execution import RayPhaseRunner
from tune_nas.sweep.runs.plan import Plan
from tune_nas.tasks import Tasks


@contextmanager
def ray_runner(plan: Plan, options: RunOptions, tasks: Tasks) -> Iterator[MakeRunner]:
    """Provide the function that makes a `RayPhaseRunner`, on a Ray that runs within the block.

    Args:
        plan: The sweep; its folder is locked.
        options: Where and how trials run.
        tasks: Tasks that replace those that jobs name.

    Raises:
        StorageError: If the cluster cannot be used, or the sweep has another driver there.
        ConfigError: If no trial fits on the machine or the cluster.
    """
    with connect(options.address), _locked(plan, options.address):
        for phase in phases_of(plan):  # check for room before any MLflow run is opened
            trials_at_once(options, workers_of(plan, phase, tasks, options.workers))
        yield partial(RayPhaseRunner, plan, options, tasks)


def _locked(plan: Plan, address: str | None) -> AbstractContextManager[None]:
    """Keep a second driver of a remote sweep out of the cluster; others are not detected."""
    if plan.storage.local is None and not is_local(address):
        return registered(plan.storage.root)
    return nullcontext()
