"""What a sweep would cost, from a few steps of its own trial on this machine."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from tune_nas import library
from tune_nas.config import TrialConfig
from tune_nas.sweep.config import SweepConfig, base_trial, resolve_trials
from tune_nas.sweep.options import RunOptions

_STEPS = 3


class Estimate(dict[str, Any]):
    """Counts and times of a sweep as plain values; as text, a sentence."""

    def __str__(self) -> str:
        """Return what people read."""
        return (
            f"{self['searches']} searches and {self['retrains']} retrains, "
            f"{self['search_epochs']} search epochs at most; about {self['minutes']:.1f} minutes "
            f"of searching, {self['at_once']} at a time, by {self['based_on']}"
            f"{'; the retrains come on top' if self['retrains'] else ''}"
        )


class _EnoughError(Exception):
    """Ends an epoch that was only begun to be timed."""


def estimate(
    sweep: SweepConfig, base: TrialConfig | None = None, options: RunOptions | None = None
) -> Estimate:
    """Time a few steps of the first trial here, and count up.

    Early stopping is not counted, retraining not timed, and steps of other trials of the sweep
    may cost more or less than those of the first.

    Args:
        sweep: The sweep.
        base: Its trial with its fixed keys set; None reads it.
        options: How many trials run at once, and what each takes of this machine.

    Raises:
        ConfigError: If a trial is not valid.
    """
    base = base or base_trial(sweep)
    trials = resolve_trials(sweep, base)
    repeats = sweep.repeat_best * len(sweep.repeat_seeds) if sweep.repeat_best else 0
    first = sweep.n_drawn if sweep.searcher != "grid" else len(trials)
    if sweep.searcher == "grid":
        epochs = sum(trial.schedule.epochs for _, _, trial in trials)
    else:
        epochs = first * base.schedule.epochs
    epochs += repeats * base.schedule.epochs
    at_once = min(_room(options or RunOptions()), first)
    seconds, steps = _epoch_seconds(trials[0][2])
    return Estimate(
        searches=first + repeats,
        retrains=_retrains(sweep, len(trials) // len(sweep.seed_list)),
        search_epochs=epochs,
        epoch_seconds=round(seconds, 3),
        at_once=at_once,
        minutes=round(seconds * epochs / at_once / 60, 2),
        based_on=f"{steps} steps of the first trial, timed on this machine",
    )


def _room(options: RunOptions) -> int:
    """Return how many trials run at once on this machine."""
    import torch

    room = (os.cpu_count() or 1) / options.cpus
    if options.gpus > 0:
        room = min(room, torch.cuda.device_count() / options.gpus)
    return min(options.concurrency or sys.maxsize, max(1, int(room + 1e-9)))


def _retrains(sweep: SweepConfig, points: int) -> int:
    if sweep.retrain == "each":
        return points if sweep.searcher == "grid" else max(1, sweep.repeat_best)
    return sweep.retrain


def _epoch_seconds(trial: TrialConfig) -> tuple[float, int]:
    """Return the seconds of an epoch, and how many of its steps were timed."""
    import torch

    from tune_nas.search import Search

    torch.set_num_threads(trial.runtime.threads)
    search = Search(library.with_overrides(trial, {"schedule.epochs": 1}))
    times: list[float] = []
    steps_of_epoch = 1

    def on_step(step: int, steps: int) -> None:
        nonlocal steps_of_epoch
        steps_of_epoch = steps
        times.append(time.perf_counter())
        if len(times) > _STEPS:
            raise _EnoughError

    began = time.perf_counter()
    try:
        search.run_epoch(on_step)
    except _EnoughError:
        pass
    else:
        return time.perf_counter() - began, steps_of_epoch
    # The first step warms up; validation, which is not timed, is about a third of the passes.
    return (times[-1] - times[0]) / (len(times) - 1) * steps_of_epoch * 1.3, len(times) - 1
