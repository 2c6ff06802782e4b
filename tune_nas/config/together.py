"""Checks that the parts of a trial are compatible."""

from __future__ import annotations

from typing import Protocol

from tune_nas.config.data_config import DataConfig
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
    def schedule(self) -> ScheduleConfig:
        """Changes over the epochs."""

    @property
    def selection(self) -> SelectionConfig:
        """How a genotype is derived from the supernet."""


def check_together(trial: Parts, optimizer: str) -> None:
    """Raise a one-line ValueError if parts of a trial are incompatible.

    Args:
        trial: The trial.
        optimizer: The kind of its optimizer of α.
    """
    updates = trial.update.in_all_epochs()
    _check_policy(trial, updates, optimizer)
    _check_alphas_move(trial, updates)
    _check_images(trial, updates)
    _check_lengths(trial)
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
    if schedule.greedy or schedule.stages:
        given = "greedy" if schedule.greedy else "stages"
        raise ValueError(
            f"update.level is 'none', so that α never moves, but schedule.{given} decides by α"
        )


def _check_policy(trial: Parts, updates: list[UpdateConfig], optimizer: str) -> None:
    """Reject a controller without its update, the update without one, and other optimizers."""
    levels = {update.level for update in updates}
    kind = trial.relaxation.kind
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


def _check_lengths(trial: Parts) -> None:
    """Reject a schedule that is longer than the search."""
    schedule, update = trial.schedule, trial.update
    spans = [
        (f"update.phases.{index}.until", phase.until) for index, phase in enumerate(update.phases)
    ]
    if schedule.greedy is not None:
        spans.append(("schedule.greedy.warmup", schedule.greedy.warmup))
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
