"""Checks that the parts of a trial are compatible."""

from __future__ import annotations

from typing import Protocol

from tune_nas.config.data_config import DataConfig
from tune_nas.config.optimizer_config import OptimizerConfig
from tune_nas.config.relaxation_config import RelaxationConfig
from tune_nas.config.schedule_config import ScheduleConfig
from tune_nas.config.selection_config import SelectionConfig
from tune_nas.config.update_config import UpdateConfig


class Parts(Protocol):
    """The sections of a trial that must be compatible."""

    @property
    def data(self) -> DataConfig:
        """The images."""

    @property
    def relaxation(self) -> RelaxationConfig:
        """How α becomes operation weights."""

    @property
    def update(self) -> UpdateConfig:
        """How w and α are updated."""

    @property
    def optimizer(self) -> OptimizerConfig:
        """The optimizers of w and α."""

    @property
    def schedule(self) -> ScheduleConfig:
        """Changes over the epochs."""

    @property
    def selection(self) -> SelectionConfig:
        """How a genotype is derived from the supernet."""


def check_together(trial: Parts) -> None:
    """Raise a one-line ValueError if parts of a trial are incompatible."""
    updates = trial.update.in_all_epochs()
    _check_policy(trial, updates)
    _check_alphas_move(trial, updates)
    _check_simplex(trial, updates)
    _check_weights(trial, updates)
    _check_images(trial, updates)
    _check_categorical(trial, updates)
    _check_lengths(trial)
    _check_eigenvalue(trial)
    if trial.selection.kind == "greedy" and trial.schedule.greedy is None:
        raise ValueError(
            "selection.kind is 'greedy', but nothing is decided while the search runs; "
            "give schedule.greedy"
        )


def _check_alphas_move(trial: Parts, updates: list[UpdateConfig]) -> None:
    """Reject settings that read or change α if α is never updated."""
    moving = [update.level for update in updates if update.level != "none"]
    if trial.relaxation.kind == "uniform-path" and moving:
        raise ValueError(
            f"relaxation.kind is 'uniform-path', which has no α to move, but update.level is "
            f"'{moving[0]}'; it must be 'none'"
        )
    if moving:
        return
    selection, schedule = trial.selection.kind, trial.schedule
    if selection in ("magnitude", "greedy"):
        raise ValueError(
            f"update.level is 'none', so that α never moves, but selection.kind '{selection}' "
            "reads α; take 'perturbation' or 'sampled'"
        )
    if selection == "sampled" and trial.selection.sampled.candidates == "most-probable":
        raise ValueError(
            "update.level is 'none', so that α never moves, but selection.sampled.candidates "
            "'most-probable' reads α; take 'uniform'"
        )
    if schedule.stop.settled is not None:
        raise ValueError(
            "update.level is 'none', so that α never moves, but schedule.stop.settled is "
            f"{schedule.stop.settled}, for a ranking by α; it must be null"
        )
    for given in _deciding(schedule):
        raise ValueError(
            f"update.level is 'none', so that α never moves, but schedule.{given} decides by α"
        )
    if schedule.eigenvalue is not None:
        raise ValueError(
            "update.level is 'none', so that α never moves, but schedule.eigenvalue watches the "
            "curvature in α"
        )


def _deciding(schedule: ScheduleConfig) -> list[str]:
    """Return the rules of a schedule that decide edges or remove operations."""
    rules = {
        "greedy": schedule.greedy,
        "early_fixing": schedule.early_fixing,
        "stages": schedule.stages,
        "wipe_out": schedule.wipe_out,
    }
    return [name for name, is_given in rules.items() if is_given]


def _check_simplex(trial: Parts, updates: list[UpdateConfig]) -> None:
    """Reject an optimizer of α that does not fit the domain of α, and a wipe-out without its L."""
    relaxation, optimizer = trial.relaxation, trial.optimizer.alphas
    exponentiated = optimizer.kind == "exponentiated"
    moves = any(update.level != "none" for update in updates)
    if moves and exponentiated and relaxation.on_simplex is False:
        raise ValueError(
            f"optimizer.alphas.kind is 'exponentiated', but relaxation.kind '{relaxation.kind}' "
            "has its α off the simplex; take 'simplex', or 'gumbel' with relaxation.alphas "
            "'probabilities'"
        )
    if moves and relaxation.on_simplex and optimizer.kind in ("adam", "sgd"):
        raise ValueError(
            f"optimizer.alphas.kind is '{optimizer.kind}', but relaxation.kind "
            f"'{relaxation.kind}' has its α on the simplex, which its steps leave; take "
            "'exponentiated'"
        )
    if trial.schedule.wipe_out is not None and (
        not exponentiated or optimizer.reward_bound is None
    ):
        raise ValueError(
            "schedule.wipe_out is given, but needs optimizer.alphas.kind 'exponentiated' with a "
            "reward_bound, by which it knows what cannot win any more"
        )


def _check_weights(trial: Parts, updates: list[UpdateConfig]) -> None:
    """Reject order 2 if w's steps have another relaxation: α is then not in the unrolled step."""
    relaxation = trial.relaxation
    if relaxation.weights in (None, relaxation.kind):
        return
    if any(update.order == 2 and update.level != "none" for update in updates):
        raise ValueError(
            f"relaxation.weights is '{relaxation.weights}', not relaxation.kind "
            f"'{relaxation.kind}', but update.order is 2, which differentiates w's step by α; "
            "order must be 1"
        )


def _check_policy(trial: Parts, updates: list[UpdateConfig]) -> None:
    """Reject a controller without its update, the update without one, and other optimizers."""
    levels = {update.level for update in updates}
    kind, optimizer = trial.relaxation.kind, trial.optimizer.alphas.kind
    if kind == "controller" and levels != {"policy"}:
        raise ValueError(
            f"relaxation.kind is 'controller', which is trained by samples, but update.level is "
            f"'{min(levels - {'policy'})}'; it must be 'policy' in all epochs"
        )
    if kind != "controller" and "policy" in levels:
        raise ValueError(
            "update.level is 'policy', which trains a controller, but relaxation.kind is "
            f"'{kind}'; it must be 'controller'"
        )
    if kind == "controller" and optimizer not in ("adam", "sgd"):
        raise ValueError(
            f"optimizer.alphas.kind is '{optimizer}', but update.level 'policy' trains a network, "
            "not α; take 'adam' or 'sgd'"
        )


def _check_images(trial: Parts, updates: list[UpdateConfig]) -> None:
    """Reject updates of which one would train w or α on images not meant for it.

    The two streams of batches are the same in all epochs.
    """
    levels = {update.level for update in updates if update.level != "none"}
    if len(levels) < 2 or "single" not in levels:
        return
    other = min(levels - {"single"})
    if trial.data.single_level == "all":
        raise ValueError(
            f"data.single_level is 'all', but update.level is 'single' in some epochs and "
            f"'{other}' in others, in which the valid half is α's alone; take 'train'"
        )
    if any(update.alpha_batch == "separate" for update in updates):
        raise ValueError(
            f"update.alpha_batch is 'separate' in some epochs, but update.level is '{other}' in "
            "others, in which α has the valid half; take 'same'"
        )


def _check_categorical(trial: Parts, updates: list[UpdateConfig]) -> None:
    """Reject updates that the gradient of the relaxation ``categorical`` does not define."""
    relaxation = trial.relaxation
    if relaxation.kind != "categorical" or relaxation.gradient not in ("two", "importance"):
        return
    given = f"relaxation.gradient is '{relaxation.gradient}'"
    if relaxation.gradient == "importance" and relaxation.weights not in (None, relaxation.kind):
        raise ValueError(
            f"{given}, whose architectures train both w and α, but relaxation.weights is "
            f"'{relaxation.weights}'; it must be null"
        )
    for update in (update for update in updates if update.level != "none"):
        if update.order != 1:
            raise ValueError(f"{given}, but update.order is {update.order}; it must be 1")
        if relaxation.gradient == "two":
            continue
        if update.level == "mixed":
            raise ValueError(
                f"{given}, which weights by one likelihood, but update.level is 'mixed'; it must "
                "be 'bilevel' or 'single'"
            )
        if relaxation.edge_normalization:
            raise ValueError(
                f"{given}, which gives β no gradient, but relaxation.edge_normalization is true; "
                "it must be false"
            )


def _check_eigenvalue(trial: Parts) -> None:
    """Reject a return to an earlier epoch that would restore removed operations, or do nothing."""
    schedule, rule = trial.schedule, trial.schedule.eigenvalue
    if rule is None:
        return
    for given in _deciding(schedule):
        raise ValueError(
            f"schedule.eigenvalue goes back to an earlier epoch, which would take back what "
            f"schedule.{given} has decided; give one of them"
        )
    if trial.relaxation.kind == "controller":
        raise ValueError(
            "schedule.eigenvalue is given, but relaxation.kind is 'controller', whose α no "
            "gradient moves: its curvature says nothing; take another relaxation or null"
        )
    decay = trial.optimizer.weights.weight_decay
    if rule.action == "roll-back" and not rule.decays(decay):
        raise ValueError(
            f"optimizer.weights.weight_decay is {decay}, but must be > 0 and < "
            f"schedule.eigenvalue.max_decay, {rule.max_decay}, with schedule.eigenvalue.action "
            "'roll-back', which increases it"
        )


def _check_lengths(trial: Parts) -> None:
    """Reject a schedule that is longer than the search."""
    schedule, update = trial.schedule, trial.update
    spans = [
        (f"update.phases.{index}.until", phase.until) for index, phase in enumerate(update.phases)
    ]
    if schedule.greedy is not None:
        spans.append(("schedule.greedy.warmup", schedule.greedy.warmup))
    if schedule.eigenvalue is not None:
        spans.append(("schedule.eigenvalue.start", schedule.eigenvalue.start))
    for key, value in [("update.warmup", update.warmup), *spans]:
        if value > schedule.epochs:
            raise ValueError(
                f"{key} is {value}, but the search has {schedule.epochs} epochs (schedule.epochs)"
            )
    if update.warmup == schedule.epochs:
        raise ValueError(
            f"update.warmup is {update.warmup}, as long as the search (schedule.epochs), so that "
            "α never moves"
        )
