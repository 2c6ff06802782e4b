"""Estimates the cost of a sweep from a few steps of its trial on this machine."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable

import torch

from tune_nas import library
from tune_nas.config import TrialConfig
from tune_nas.runtime import resolve_device
from tune_nas.search.capture import WARM_UP
from tune_nas.spaces import load_space
from tune_nas.sweep.config import SweepConfig, race_rule
from tune_nas.sweep.first_checks import check_metric
from tune_nas.sweep.options import RunOptions
from tune_nas.sweep.ray.room import Node, trials_at_once
from tune_nas.sweep.resolution import BaseTrials
from tune_nas.sweep.resolve import base_trials, resolve_trials
from tune_nas.sweep.retrain_grid import FRONTIER, MODEL_SIZES
from tune_nas.sweep.retrain_trials import count_genotypes
from tune_nas.sweep.sharing.planned import taken_over
from tune_nas.sweep.sharing.shared_text import planned_line
from tune_nas.tasks import Inputs, Task, find_task, task_of

_STEPS = 3
_PATIENCE = 15.0  # seconds of timing; of slower steps, one is timed


class Estimate(dict[str, object]):
    """Counts and times of a sweep as plain values; converts to a sentence."""

    @property
    def taken_over(self) -> list[int]:
        """The number of first epochs of each search that another one runs for it."""
        counts = self.get("taken_over", [])
        return list(counts) if isinstance(counts, list) else []

    def __str__(self) -> str:
        """Return the estimate as a sentence."""
        searches, retrains = self["searches"], self["retrains"]
        bound = "at most " if self["race"] else ""
        most = "at most " if self.get("retrains_at_most") else ""
        counts = (
            f"{bound}{searches} search{'' if searches == 1 else 'es'} and {most}{retrains} "
            f"retraining run{'' if retrains == 1 else 's'}, at most {self['search_epochs']} search "
            "epochs"
        )
        taken = self.taken_over
        shared = planned_line(taken, int(str(self["search_epochs"])) + sum(taken))
        note = f"; {shared}" if shared else ""
        if "minutes" not in self:
            return f"{counts}, {self['at_once']} at a time{note}"
        return (
            f"{counts}; about {self['minutes']:.1f} minutes of searching with {self['at_once']} "
            f"at a time (estimated from {self['based_on']})"
            f"{', without retraining' if retrains else ''}{note}"
        )


class _EnoughError(Exception):
    """Ends an epoch after enough timed steps."""


def estimate(
    sweep: SweepConfig,
    bases: BaseTrials | None = None,
    options: RunOptions | None = None,
    *,
    timed: bool = True,
) -> Estimate:
    """Time a few steps of the first trial (of each, if the trial is swept), and add up.

    Epochs that searches share count once. Early stopping, the time of retraining, and the
    evaluations of a selection by perturbation are not included; steps with other swept values may
    cost more or less.

    Args:
        sweep: The sweep.
        bases: Its trials with its fixed keys set; None reads them from the sweep.
        options: Number of concurrent trials, and the resources of each on this machine.
        timed: Whether to time steps; otherwise only trials and epochs are counted.

    Raises:
        ConfigError: If a trial is not valid.
    """
    bases = bases or base_trials(sweep)
    check_metric(sweep, bases)
    trials = resolve_trials(sweep, bases)
    grid = sweep.searcher == "grid"
    first = len(trials) if grid else sweep.n_drawn
    configurations = first // len(sweep.seed_list) if grid else first
    repeats = min(sweep.repeat_best, configurations) * len(sweep.repeat_seeds)
    known: dict[str, tuple[float, int]] = {}
    taken = taken_over(sweep, bases)
    epochs, seconds = 0.0, 0.0
    # Repeats have other seeds, so they share nothing with the first searches. For a sampled sweep,
    # these are the base trials; the samples are not known yet.
    more = ((0 if grid else first) + repeats) / len(trials)
    for (_, _, trial), others in zip(trials, taken, strict=True):
        task = find_task(task_of(sweep.task, trial))
        if timed and trial.name not in known:
            known[trial.name] = epoch_seconds(task, trial)
        whole, after = task.epochs(trial), task.starts_after(trial)
        own = grid * (whole - max(after, others)) + more * (whole - after)
        epochs += own
        seconds += own * known[trial.name][0] if timed else 0.0
    at_once = min(_at_once(options or RunOptions()), first)
    genotypes = count_genotypes(sweep, configurations)
    unknown = sweep.retrained in (FRONTIER, MODEL_SIZES)
    if unknown:
        genotypes = _most_genotypes(sweep, [trial for _, _, trial in trials], first + repeats)
    counts = Estimate(
        searches=first + repeats,
        race=race_rule(sweep) is not None,
        retrains=genotypes * sweep.retrain_grid.runs_per_genotype,
        retrains_at_most=unknown,
        search_epochs=round(epochs),
        at_once=at_once,
    )
    if any(taken):
        counts["taken_over"] = taken
    if not timed:
        return counts
    whose = "each trial" if len(known) > 1 else "the first trial"
    n_steps = max(steps for _, steps in known.values())
    return Estimate(
        **counts,
        epoch_seconds=round(seconds / epochs, 3),
        minutes=round(seconds / at_once / 60, 2),
        based_on=f"{n_steps} steps of {whose}, timed on this machine",
    )


def _most_genotypes(sweep: SweepConfig, trials: Iterable[TrialConfig], searches: int) -> int:
    """Return the most genotypes that a choice by size and accuracy can have.

    These are the searches or, if the best of each size is chosen, the numbers of convolutions that
    a genotype may have.
    """
    if sweep.retrained == FRONTIER:
        return searches
    spaces = [load_space(name) for name in {trial.space.name for trial in trials}]
    edges = [
        sum(cell.kept_inputs(node) for cell in space.cells.values() for node in cell.nodes)
        for space in spaces
    ]
    return max(edges) + 1


def _at_once(options: RunOptions) -> int:
    """Return the number of concurrent trials on this machine."""
    node = Node(os.cpu_count() or 1, torch.cuda.device_count())
    return min(options.concurrency or sys.maxsize, trials_at_once([node], options))


def epoch_seconds(
    task: Task, trial: TrialConfig, inputs: Inputs | None = None
) -> tuple[float, int]:
    """Return the seconds of an epoch, estimated from a few steps, and the number of timed steps.

    The first step is not timed, however slow steps are: it may compile kernels, which takes minutes
    on a machine that has none.

    Args:
        task: The task of the trial.
        trial: The trial.
        inputs: Its inputs; None for a search.
    """
    inputs = inputs or Inputs()
    task.check_memory(trial, inputs)
    without_warmup = library.with_overrides(trial, {"update.warmup": 0, "start_from": None})
    learner, device = task.build(without_warmup, inputs), resolve_device(trial.runtime.device)
    on_gpu = device.type == "cuda"
    warm_up = WARM_UP + 1 if on_gpu else 1  # on a GPU until the step is captured
    ends: list[float] = []
    steps_of_epoch = 1

    def on_step(step: int, steps: int) -> None:
        nonlocal steps_of_epoch
        steps_of_epoch = steps
        if on_gpu:
            torch.cuda.synchronize(device)
        ends.append(time.perf_counter())
        if len(ends) == warm_up + _STEPS or (len(ends) > 1 and ends[-1] - ends[0] > _PATIENCE):
            raise _EnoughError

    began = time.perf_counter()
    try:
        learner.run_epoch(on_step)
    except _EnoughError:
        pass
    else:
        whole = time.perf_counter() - began
        if len(ends) > 1:  # with a first step as long as the second
            whole -= ends[0] - began - (ends[1] - ends[0])
        return whole, steps_of_epoch
    timed = ends[warm_up - 1 :] if len(ends) > warm_up else ends[-2:]
    # Validation, which is not timed, is about a third of the passes.
    steps = len(timed) - 1
    return (timed[-1] - timed[0]) / steps * steps_of_epoch * 1.3, steps
