"""Checks and notes before a sweep writes anything."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from tune_nas import library
from tune_nas.benchmark import SPACE, find_table, user_table
from tune_nas.config import DataConfig, TrialConfig
from tune_nas.config.deciding import decided_by
from tune_nas.errors import ConfigError
from tune_nas.sweep.config import SweepConfig
from tune_nas.sweep.phases import Phase
from tune_nas.sweep.resolve import BaseTrials
from tune_nas.sweep.runs.plan import State
from tune_nas.tasks import Inputs, Task, find_task


def tell_images(trials: list[TrialConfig]) -> None:
    """Print to stderr the classes and number of images found in a user's folder."""
    from tune_nas.data import describe_images

    sections = {repr((t.data.name, t.data.dir, t.data.layout)): t.data for t in trials}
    for line in filter(None, map(describe_images, sections.values())):
        print(line, file=sys.stderr, flush=True)


def check_devices(trials: list[TrialConfig]) -> None:
    """Raise a ConfigError if this machine, which is to run the trials, lacks a trial's device."""
    from tune_nas.runtime import resolve_device

    for device in {trial.runtime.device for trial in trials}:
        resolve_device(device)


def preflight(
    trials: Sequence[TrialConfig],
    phases: Sequence[Phase],
    state: State,
    tasks: Mapping[str, Task],
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


def check_metric(sweep: SweepConfig, bases: BaseTrials) -> None:
    """Reject ranking by true accuracies that no trial would report.

    Raises:
        ConfigError: If the benchmark's table is missing, or the space is not that of the table.
    """
    if not sweep.metric.startswith("benchmark/"):
        return
    ranks = f"sweep '{sweep.name}': metric is '{sweep.metric}'"
    for trial in bases.trials.values():
        if find_table(trial.benchmark.table) is None:
            raise ConfigError(
                f"{ranks}, but there is no table at {user_table()}; write it with tune-nas "
                "benchmark import FILE, or set benchmark.table to one"
            )
        if trial.space.name != SPACE and trial.space.name in library.shipped_names("space"):
            raise ConfigError(
                f"{ranks}, which space '{trial.space.name}' does not have; it is for space "
                f"'{SPACE}'"
            )


def data_sections(sweep: SweepConfig, trials: Sequence[TrialConfig]) -> list[DataConfig]:
    """Return the data sections of trials, including those of swept data sets not yet sampled.

    Args:
        sweep: The sweep.
        trials: As `resolve_trials` returns them.
    """
    swept = sweep.parameters.get("data.name")
    names = [] if swept is None else swept.values
    drawn = [trial.data.model_copy(update={"name": name}) for trial in trials for name in names]
    return [*(trial.data for trial in trials), *drawn]
