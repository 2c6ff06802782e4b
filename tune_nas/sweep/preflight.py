"""What is checked, and said, before a sweep writes anything."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tune_nas.config import TrialConfig
from tune_nas.sweep.plan import State

if TYPE_CHECKING:
    from tune_nas.sweep.execution import Trainables


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
