"""The learning rate of a retraining run by epoch."""

from __future__ import annotations

from tune_nas.config import RetrainConfig
from tune_nas.training import cosine

_TAIL = 5  # epochs


def learning_rate(recipe: RetrainConfig, epoch: int) -> float:
    """Return the learning rate of an epoch.

    In the first ``warmup_epochs`` epochs n, the rate of the schedule is multiplied by
    (epoch + 1) / n.

    Args:
        recipe: The section ``retrain`` of the trial.
        epoch: The epoch, 0-based.
    """
    start, epochs = recipe.learning_rate, recipe.epochs
    if recipe.lr_schedule == "cosine":
        rate = cosine(epoch, epochs, start, recipe.learning_rate_min)
    elif recipe.lr_schedule == "linear":
        rate = linear(epoch, epochs, start)
    elif recipe.lr_schedule == "exponential":
        rate = start * recipe.lr_decay**epoch
    else:
        rate = start * recipe.lr_decay ** (epoch // recipe.lr_step_epochs)
    return rate * min(1.0, (epoch + 1) / recipe.warmup_epochs) if recipe.warmup_epochs else rate


def linear(epoch: int, epochs: int, start: float) -> float:
    """Return the learning rate of an epoch in P-DARTS's linear schedule.

    It falls to start / (epochs - 5), and in the last 5 epochs from there towards 0
    (chenxin061/pdarts, ``train_imagenet.py``). With at most 5 epochs, it is start · (1 - epoch /
    epochs).

    Args:
        epoch: The epoch, 0-based.
        epochs: Total number of epochs.
        start: The learning rate of the first epoch.
    """
    left = epochs - epoch
    if epochs <= _TAIL:
        return start * left / epochs
    falling = epochs - _TAIL
    if left > _TAIL:
        return start * (left - _TAIL) / falling
    return start * left / (_TAIL * falling)
