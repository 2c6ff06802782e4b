"""What is checked, and said, before a sweep writes anything."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from tune_nas.config import TrialConfig
from tune_nas.config.decides import decided_by
from tune_nas.sweep.phases import Phase
from tune_nas.sweep.plan import State
from tune_nas.tasks import Inputs, Task, find_task


def tell_images(trials: list[TrialConfig]) -> None:
    """Say on stderr which classes of how many images a user's folder was taken to hold."""
    from tune_nas.data import describe_images

    sections = {repr((t.data.name, t.data.dir, t.data.layout)): t.data for t in trials}
    for line in filter(None, map(describe_images, sections.values())):
        print(line, file=sys.stderr, flush=True)


def check_devices(trials: list[TrialConfig]) -> None:
    """Raise a ConfigError if a trial's device is not on this machine, which is to run it."""
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
    """Check one trial of each kind, so that what cannot start is known before anything is written.

    Args:
        trials: All of them.
        phases: The phases of the sweep.
        state: Has the genotype of a run that retrains one.
        tasks: Tasks that take the place of those that the phases name.
        here: Whether they run on this machine, whose memory then has to be enough.

    Raises:
        TuneNasError: What the parts of a trial say.
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
