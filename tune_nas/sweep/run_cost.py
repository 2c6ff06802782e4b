"""The cost of a single search or of retraining runs, and whether a run may take long at all."""

from __future__ import annotations

from collections.abc import Sequence

from tune_nas.config import TrialConfig, check_data_keys
from tune_nas.data import describe_data, described_once
from tune_nas.sweep.config import SweepConfig
from tune_nas.sweep.cost import epoch_seconds
from tune_nas.sweep.jobs import Job
from tune_nas.sweep.resolution import BaseTrials
from tune_nas.sweep.resolve import resolve_trials
from tune_nas.sweep.retrain_trials import with_settings
from tune_nas.tasks import Inputs, find_task, task_of

_PIXELS = 10_000_000
"""Epochs times images times pixels below which no run is expected to take an hour.

With the default supernet of the space ``darts`` they take about ten minutes on one core.
"""


class RunEstimate(dict[str, object]):
    """Counts and times of a search or of retraining runs; converts to a sentence."""

    def __str__(self) -> str:
        """Return the estimate as a sentence."""
        runs, epochs = self["runs"], self["epochs"]
        counts = f"{runs} run{'' if runs == 1 else 's'}, {epochs} epoch{'' if epochs == 1 else 's'}"
        if "minutes" not in self:
            return counts
        return f"{counts}; about {self['minutes']:.1f} minutes (estimated from {self['based_on']})"


def estimate_runs(
    task: str, trials: Sequence[TrialConfig], genotype: str | None = None, *, timed: bool = True
) -> RunEstimate:
    """Check trials that run one after another, add up their epochs, and time steps of the first.

    Args:
        task: ``search`` or ``retrain``.
        trials: The trials, e.g. one for each recipe and seed.
        genotype: Genotype to retrain, as YAML; None for a search.
        timed: Whether to time steps; otherwise only epochs are counted.

    Raises:
        TuneNasError: If a trial cannot start here.
    """
    check_data_keys([trial.data for trial in trials])
    inputs = Inputs(genotype=genotype)
    own = [find_task(task_of(task, trial)) for trial in trials]
    epochs = [
        each.epochs(trial) - each.starts_after(trial)
        for each, trial in zip(own, trials, strict=True)
    ]
    for each, trial in zip(own, trials, strict=True):
        each.check_memory(trial, inputs)
    counts = RunEstimate(runs=len(trials), epochs=sum(epochs))
    if not timed:
        return counts
    seconds, steps = epoch_seconds(own[0], trials[0], inputs)
    return RunEstimate(
        **counts,
        epoch_seconds=round(seconds, 3),
        minutes=round(seconds * sum(epochs) / 60, 2),
        based_on=f"{steps} steps, timed on this machine",
    )


def trials_to_count(sweep: SweepConfig, bases: BaseTrials) -> list[TrialConfig]:
    """Return one trial for each search of a sweep; of a sampled sweep, its base trials in turn."""
    trials = [trial for _, _, trial in resolve_trials(sweep, bases)]
    n = len(trials) if sweep.searcher == "grid" else sweep.n_drawn
    return [trials[number % len(trials)] for number in range(n)]


def retrain_runs(sweep: SweepConfig, trial: TrialConfig) -> list[TrialConfig]:
    """Return the trials of the retraining runs of one genotype.

    Args:
        sweep: From `tune_nas.sweep.runner.retrain_sweep`.
        trial: Its trial.
    """
    job = Job("retrain-00000", "retrain", "retrain", trial)
    return [run.trial for run in with_settings(sweep, BaseTrials({trial.name: trial}), [job])]


@described_once()
def may_be_long(task: str, trials: Sequence[TrialConfig]) -> bool:
    """Return whether trials, one after another, may take an hour, without timing anything.

    Args:
        task: ``search`` or ``retrain``.
        trials: The trials.

    Raises:
        TuneNasError: If the data of a trial cannot be used.
    """
    check_data_keys([trial.data for trial in trials])
    total = 0
    for trial in trials:
        if trial.benchmark.simulate is not None:  # nothing is trained
            continue
        shape = describe_data(trial.data)
        own = find_task(task_of(task, trial))
        total += (own.epochs(trial) - own.starts_after(trial)) * shape.n_train * shape.image_size**2
    return total > _PIXELS
