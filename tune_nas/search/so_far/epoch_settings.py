"""What decides one epoch of a search, computed from its trial alone."""

from __future__ import annotations

from collections.abc import Mapping

from tune_nas.config import TrialConfig, UpdateConfig
from tune_nas.search.optimizers import scheduled_rate
from tune_nas.search.rules.stages import skip_dropout
from tune_nas.search.so_far.deciding_keys import Values, is_in, within
from tune_nas.search.update import coefficients

BY_EPOCH = (
    *("selection", "update", "optimizer.alphas"),
    *("optimizer.weights.learning_rate", "optimizer.weights.learning_rate_min"),
    *("relaxation.penalty", "relaxation.flops_weight", "relaxation.flops_bound"),
    *("relaxation.samples", "relaxation.likelihood", "relaxation.temperature"),
    *("relaxation.smoothing.start", "relaxation.smoothing.end"),
    *("relaxation.auxiliary_skip", "relaxation.drop_path"),
    *("schedule.epochs", "schedule.stages", "schedule.carry_over", "schedule.greedy"),
    *("schedule.early_fixing", "schedule.lr_rule", "schedule.wipe_out", "schedule.stop"),
    *("schedule.eigenvalue.action", "schedule.eigenvalue.factor"),
    *("schedule.eigenvalue.decay_factor", "schedule.eigenvalue.max_decay"),
)
"""The keys and sections that matter through the settings below; all others matter from the start"""

_OF_ALPHA = (
    *("optimizer.alphas", "relaxation.penalty", "relaxation.flops_weight"),
    *("relaxation.flops_bound", "relaxation.samples", "relaxation.likelihood"),
    *("schedule.early_fixing", "schedule.lr_rule"),
)
GENOTYPES_OF_W = ("sampled",)
"""Selections whose genotype during the search depends on w."""

_TEMPERED = ("gumbel", "concrete")
_SECOND_ORDER = ("hessian", "epsilon", "unrolled_momentum")


def from_the_start(trial: TrialConfig, values: Values) -> Values:
    """Return what decides every epoch of a search.

    Args:
        trial: The trial.
        values: The values of all keys that decide its search.
    """
    schedule, relaxation = trial.schedule, trial.relaxation
    on_all = trial.update.level == "single" and trial.data.single_level == "all"
    asks = bool(_bounds(trial))
    rules = ("stages", "greedy", "early_fixing", "lr_rule", "wipe_out", "eigenvalue")
    return {
        **{key: value for key, value in values.items() if not is_in(key, BY_EPOCH)},
        "data.single_level": on_all,
        "update.alpha_batch": trial.update.alpha_batch,
        **{f"schedule.{rule}": bool(getattr(schedule, rule)) for rule in rules},
        **({} if _stop_is_replayed(trial) else within(values, ("schedule.stop",))),
        **(within(values, ("selection",)) if asks and not _stop_is_replayed(trial) else {}),
        "schedule.eigenvalue.max_decay": schedule.eigenvalue is not None
        and (schedule.eigenvalue.action == "stop" or bool(_decays(trial))),
        "relaxation.auxiliary_skip": relaxation.auxiliary_skip.present,
        "relaxation.drop_path": relaxation.drop_path > 0 and schedule.epochs > 1,  # a metric
        # of all stages: the smallest batch of an evaluation follows from them
        "schedule.stages.cells": sorted({stage.cells or 0 for stage in schedule.stages}),
    }


def of_epoch(trial: TrialConfig, values: Values, epoch: int) -> Values:
    """Return what decides an epoch (0-based) of a search, besides `from_the_start`.

    Args:
        trial: The trial.
        values: The values of all keys that decide its search.
        epoch: The epoch, as the schedule counts it.
    """
    relaxation, epochs = trial.relaxation, trial.schedule.epochs
    found: Values = {
        "optimizer.weights": scheduled_rate(trial, epoch),
        "relaxation.auxiliary_skip": relaxation.auxiliary_skip.weight(epoch, epochs),
        "relaxation.drop_path": relaxation.drop_path_in(epoch, epochs),
    }
    if relaxation.smoothing.kind != "none":
        found["relaxation.smoothing"] = relaxation.smoothing.radius(epoch, epochs)
    if relaxation.kind in _TEMPERED or relaxation.weights in _TEMPERED:
        found["relaxation.temperature"] = relaxation.temperature.in_epoch(epoch, epochs)
    if trial.schedule.stages:
        found["schedule.stages"] = _of_stage(trial, epoch)
    if trial.schedule.greedy is not None:
        found.update(_of_greedy(trial, values, epoch))
    if trial.moves_alphas(epoch):
        found.update(_of_alpha(trial, values, epoch))
    found.update(_of_end(trial, epoch))
    return found


def steps_alphas(trial: TrialConfig, epoch: int) -> bool:
    """Return whether α, or its controller, moves in an epoch (0-based)."""
    if not trial.moves_alphas(epoch):
        return False
    factors = coefficients(trial.update.in_epoch(epoch))
    return trial.relaxation.kind == "controller" or (factors.train, factors.valid) != (0.0, 0.0)


def _of_alpha(trial: TrialConfig, values: Values, epoch: int) -> Values:
    """Return what decides an epoch after the warm-up: α's step, and the rules that then act."""
    schedule = trial.schedule
    found: Values = {}
    if steps_alphas(trial, epoch):
        found["update"] = _of_update(trial, trial.update.in_epoch(epoch))
        found.update(within(values, _OF_ALPHA))
    if schedule.early_fixing or schedule.lr_rule or schedule.wipe_out:
        found["update.warmup"] = "over"
        found.update(within(values, ("schedule.early_fixing", "schedule.lr_rule")))
    if stop := _of_stop(trial, epoch):
        found["schedule.stop"] = stop
        found["schedule.epochs"] = epoch == schedule.epochs - 1  # it does not stop the last one
    if schedule.lr_rule is not None or "bounds" in stop:  # they read the genotype
        found.update(within(values, ("selection",)))
    by_length = trial.optimizer.alphas.step_rule == "regret"
    if schedule.wipe_out is not None or by_length:
        # the number of α's steps in the whole search
        found["schedule"] = within(
            values,
            ("schedule.wipe_out", "schedule.epochs", "schedule.stages", "update"),
        )
    return found


def _of_update(trial: TrialConfig, update: UpdateConfig) -> Values:
    factors = coefficients(update)
    content = update.to_dict()
    named = ("level", "lambda", "lambda_prime", "second_order_form", "phases", "warmup")
    unread = named if update.order == 2 else (*named, *_SECOND_ORDER)
    return {
        **{key: value for key, value in content.items() if key not in unread},
        "coefficients": [factors.train, factors.valid],
        # of the whole search, whatever a phase says
        "weight_steps": trial.update.weight_steps,
        "policy": trial.update.policy.to_dict() if trial.relaxation.kind == "controller" else None,
    }


def _of_stage(trial: TrialConfig, epoch: int) -> Values:
    """Return a stage's own settings, those that its start reads, and its skip dropout."""
    schedule = trial.schedule
    index, start = schedule.stage_of(epoch)
    stage = schedule.stages[index]
    groups = [] if index == 0 else [schedule.stages[index - 1].groups]
    content = {k: v for k, v in stage.to_dict().items() if k not in ("epochs", "skip_dropout")}
    return {
        **content,
        "index": index,
        "groups before": groups,
        "carry_over": None if index == 0 else schedule.carry_over,
        "skip dropout": skip_dropout(stage, epoch - start, trial.update.warmup),
    }


def _of_greedy(trial: TrialConfig, values: Values, epoch: int) -> Values:
    """Return the settings of a decision at the end of an epoch, and the epochs it may look back."""
    greedy = trial.schedule.greedy
    assert greedy is not None
    found: Values = {"schedule.greedy.history": min(greedy.history, epoch + 1)}
    since = epoch - greedy.warmup
    if since < 0 or since % greedy.every:
        return found
    found["schedule.greedy"] = {
        key: value
        for key, value in greedy.to_dict().items()
        if key not in ("warmup", "every", "history")
    }
    # Other selections choose the largest weight.
    if trial.selection.kind == "perturbation":
        found.update(within(values, ("selection.kind", "selection.perturbation")))
    return found


def _of_stop(trial: TrialConfig, epoch: int) -> Values:
    """Return what may end the search after this epoch, in which α may move; empty if nothing."""
    stop, bounds, found = trial.schedule.stop, _bounds(trial), dict[str, object]()
    if not bounds and stop.settled is None:
        return {}
    counted = sum(trial.moves_alphas(each) for each in range(epoch + 1))
    if bounds and counted >= stop.patience:
        found["bounds"] = [bounds, stop.patience]
    if stop.settled is not None and counted > stop.settled:
        found["settled"] = stop.settled
    return {**found, "counted": counted} if found else {}


def _stop_is_replayed(trial: TrialConfig) -> bool:
    """Return whether the state of ``stop`` after an epoch follows from the α of all epochs.

    It does not if a rule restores earlier ones, or if it reads genotypes that depend on w.
    """
    reads_w = bool(_bounds(trial)) and trial.selection.kind in GENOTYPES_OF_W
    return trial.schedule.eigenvalue is None and not reads_w


def _of_end(trial: TrialConfig, epoch: int) -> Values:
    """Return the settings of ``eigenvalue`` once it may act, and whether this is the last epoch."""
    schedule = trial.schedule
    rule = schedule.eigenvalue
    if rule is None:
        return {}
    found: Values = {"schedule.epochs": epoch == schedule.epochs - 1}
    if epoch - rule.distance >= rule.start:
        found["schedule.eigenvalue"] = [rule.action, rule.factor, _decays(trial)]
    return found


def _decays(trial: TrialConfig) -> list[float]:
    rule = trial.schedule.eigenvalue
    return [] if rule is None else rule.decays(trial.optimizer.weights.weight_decay)


def _bounds(trial: TrialConfig) -> Mapping[str, object]:
    stop = trial.schedule.stop
    bounds = {"convolutions": stop.convolutions, "skips": stop.skips}
    return {key: dict(value) for key, value in bounds.items() if value}
