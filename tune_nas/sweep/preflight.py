"""Checks and notes before a sweep writes anything: devices, memory, and one trial of each kind."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tune_nas.config import TrialConfig
from tune_nas.config.deciding import decided_by
from tune_nas.data import describe_images
from tune_nas.runtime import resolve_device
from tune_nas.sweep.distinct import check_distinct
from tune_nas.sweep.options import RunOptions
from tune_nas.sweep.phases import Phase, phases_of
from tune_nas.sweep.ray.environment import is_local
from tune_nas.sweep.runs.plan import Plan, State
from tune_nas.tasks import Inputs, Tasks, find_task


def check_trials(plan: Plan, options: RunOptions, tasks: Tasks) -> None:
    """Check that the trials of a sweep can start, and that no two of them are equal.

    Args:
        plan: The sweep.
        options: Where its trials run.
        tasks: Tasks that replace those that the phases name.

    Raises:
        TuneNasError: If a trial cannot start.
    """
    trials = [trial for _, _, trial in plan.resolved.trials]
    here = is_local(options.address)
    if here:
        check_devices(trials)
    preflight(trials, phases_of(plan), plan.state, tasks, here=here)
    check_distinct(plan.sweep, plan.resolved.points)


def tell_images(trials: list[TrialConfig]) -> None:
    """Print to stderr the classes and number of images found in a user's folder."""
    sections = {repr((t.data.name, t.data.dir, t.data.layout)): t.data for t in trials}
    for line in filter(None, map(describe_images, sections.values())):
        print(line, file=sys.stderr, flush=True)


def check_devices(trials: list[TrialConfig]) -> None:
    """Raise a ConfigError if this machine, which is to run the trials, lacks a trial's device."""
    for device in {trial.runtime.device for trial in trials}:
        resolve_device(device)


def preflight(
    trials: Sequence[TrialConfig],
    phases: Sequence[Phase],
    state: State,
    tasks: Tasks,
    *,
    here: bool,
) -> None:
    """Check one trial of each kind, so that errors are found before anything is written.

    Args:
        trials: All trials.
        phases: The phases of the sweep.
        state: State with the genotype of a run that retrains one.
        tasks: Tasks that replace those that the phases name.
        here: Whether they run on this machine, whose memory must then suffice.

    Raises:
        TuneNasError: If a trial cannot start.
    """
    inputs = Inputs(genotype=state.genotype)
    for name in dict.fromkeys(phase.task for phase in phases):
        task = tasks.get(name) or find_task(name)
        kinds: dict[str, TrialConfig] = {}
        for trial in trials:
            kinds.setdefault(repr(decided_by(trial, task.starts)), trial)
        for trial in kinds.values():
            if here:
                task.check_memory(trial, inputs)
            task.check(trial, inputs)
