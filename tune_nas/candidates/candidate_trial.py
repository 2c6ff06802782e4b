"""The trial by which a candidate is trained: its ``retrain`` section has the last level."""

from __future__ import annotations

from tune_nas.config import TrialConfig
from tune_nas.config.strategy_config import StrategyConfig
from tune_nas.errors import ConfigError
from tune_nas.seeds import derive_seed
from tune_nas.spaces import Genotype

_SEEDS = 2**31  # seeds of a trial, from 0


def strategy_of(trial: TrialConfig) -> StrategyConfig:
    """Return the section ``strategy`` of a trial.

    Raises:
        ConfigError: If the trial has none.
    """
    if trial.strategy is None:
        raise ConfigError(f"trial '{trial.name}' has no strategy; set strategy.kind, e.g. random")
    return trial.strategy


def candidate_trial(
    trial: TrialConfig, genotype: Genotype | None = None, epochs: int | None = None
) -> TrialConfig:
    """Return the trial by which the candidates of a black-box search are trained.

    It differs from the trial of the search in two ways. The learning rate follows its schedule over
    the epochs of the last level, so that a candidate of any level has had the first part of one
    and the same training; with ``strategy.promotion: restart``, over those of its level. And
    each candidate has its own seed, which follows from that of the trial and from the genotype: its
    accuracy does not depend on when it is proposed, nor by which strategy.

    Args:
        trial: The trial of the search.
        genotype: The candidate; None for the seed of the trial.
        epochs: Epochs of the candidate's level; None for the last level.

    Raises:
        ConfigError: If the warm-up of the learning rate is longer than the training.
    """
    config, recipe = strategy_of(trial), trial.retrain
    restarts = config.promotion == "restart"
    shortest = config.levels[0 if restarts else -1]
    if recipe.warmup_epochs > shortest:
        which = "first" if restarts else "last"
        raise ConfigError(
            f"retrain.warmup_epochs is {recipe.warmup_epochs}, but must be <= {shortest}, the "
            f"epochs of a candidate (the {which} of strategy.levels)"
        )
    length = epochs if restarts and epochs is not None else config.levels[-1]
    seed = trial.seed
    if genotype is not None:
        seed = derive_seed(trial.seed, f"candidate {genotype}") % _SEEDS
    return trial.model_copy(
        update={
            "seed": seed,
            "retrain": recipe.model_copy(update={"epochs": length}),
            "runtime": trial.runtime.model_copy(update={"workers": 1}),
        }
    )
