"""Checks and notes before a sweep writes anything: devices, memory, and one trial of each kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tune_nas.config import TrialConfig
from tune_nas.config.deciding import decided_by
from tune_nas.data import ImageSummary, described_once, summarize_images
from tune_nas.runtime import resolve_device
from tune_nas.sweep import lazy_optuna
from tune_nas.sweep.distinct import check_distinct, check_distinct_settings
from tune_nas.sweep.options import RunOptions
from tune_nas.sweep.phases import phases_of, task_in
from tune_nas.sweep.ray.environment import is_local
from tune_nas.sweep.retrain_trials import naming, retrain_trials
from tune_nas.sweep.runs.plan import Plan
from tune_nas.tasks import Inputs, Tasks


@described_once()
def check_trials(plan: Plan, options: RunOptions, tasks: Tasks) -> None:
    """Check that a sweep can sample, that its trials can start, and that no two are equal.

    Args:
        plan: The sweep.
        options: Where its trials run.
        tasks: Tasks that replace those that the phases name.

    Raises:
        TuneNasError: If a trial cannot start.
    """
    if plan.sweep.searcher != "grid":
        lazy_optuna.samplers.make_sampler(plan.sweep, 0)
    trials = [trial for _, _, trial in plan.resolved.trials]
    here = is_local(options.address)
    if here:
        check_devices(trials)
    preflight(plan, tasks, here=here)
    check_distinct(plan.sweep, plan.resolved.points)
    check_distinct_settings(plan.sweep, plan.bases)


def summarize_run_images(trials: list[TrialConfig]) -> list[ImageSummary]:
    """Return what is said of the images of each data set of a run.

    Raises:
        DataError: If the training images of one cannot be found.
    """
    sections = {
        repr((t.data.name, t.data.dir, t.data.layout, t.data.train_images, t.data.train_portion)): (
            t.data
        )
        for t in trials
    }
    return [summarize_images(data) for data in sections.values()]


def check_devices(trials: list[TrialConfig]) -> None:
    """Raise a ConfigError if this machine, which is to run the trials, lacks a trial's device."""
    for device in {trial.runtime.device for trial in trials}:
        resolve_device(device)


def preflight(plan: Plan, tasks: Tasks, *, here: bool) -> None:
    """Check one trial of each kind, so that errors are found before anything is written.

    Args:
        plan: The sweep; its state has the genotype of a run that retrains one.
        tasks: Tasks that replace those that the phases name.
        here: Whether they run on this machine, whose memory must then suffice.

    Raises:
        TuneNasError: If a trial cannot start.
    """
    inputs = Inputs(genotype=plan.state.genotype)
    for phase in {phase.task: phase for phase in phases_of(plan)}.values():
        kinds: dict[str, tuple[Mapping[str, object], TrialConfig]] = {}
        for parameters, _, trial in plan.resolved.trials:
            starts = task_in(phase, trial, tasks).starts
            kind = repr((decided_by(trial, starts), plan.bases.named(parameters)[0]))
            kinds.setdefault(kind, (parameters, trial))
        for chosen, trial in kinds.values():
            task = task_in(phase, trial, tasks)
            for setting, variant in _variants(plan, phase.task, chosen, trial):
                with naming(plan.sweep, setting):
                    if here:
                        task.check_memory(variant, inputs)
                    task.check(variant, inputs)


def _variants(
    plan: Plan, task: str, chosen: Mapping[str, object], trial: TrialConfig
) -> Iterable[tuple[str, TrialConfig]]:
    """Return a trial of a task; for retraining, under each setting, with the setting's name."""
    if task == "retrain":
        return retrain_trials(plan.sweep, plan.bases, trial, chosen)
    return [("", trial)]
