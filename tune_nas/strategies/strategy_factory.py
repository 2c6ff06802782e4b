"""Construction of the strategy that a trial names."""

from __future__ import annotations

import inspect

from tune_nas.errors import ConfigError
from tune_nas.strategies.strategy import Strategy, StrategyInputs
from tune_nas.user_code import load_class, said


def make_strategy(inputs: StrategyInputs) -> Strategy:
    """Build the strategy that ``strategy.kind`` names, with ``strategy.options``.

    Raises:
        ConfigError: If it is a custom class that cannot be loaded, or does not take the options.
    """
    config = inputs.config
    kind: type[Strategy] = load_class("strategy.kind", config.kind, Strategy)
    if inspect.isabstract(kind):
        raise ConfigError(f"strategy.kind is '{config.kind}', but this class has no propose()")
    try:
        strategy = kind(inputs, **config.options)
    except TypeError as error:
        raise ConfigError(f"strategy.options do not fit '{config.kind}': {error}") from error
    except SystemExit as error:
        raise ConfigError(f"strategy.kind is '{config.kind}', but {said(error)}") from error
    if not hasattr(strategy, "spent"):
        raise ConfigError(
            f"strategy.kind is '{config.kind}', but its __init__() must call "
            "super().__init__(inputs)"
        )
    return strategy
