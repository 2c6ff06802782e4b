"""The training-free proxy of a black-box search that trains candidates."""

from __future__ import annotations

from tune_nas.candidates.candidate_trial import strategy_of
from tune_nas.config import TrialConfig
from tune_nas.config.strategy_conditions import may_read
from tune_nas.proxies import make_proxy, proxy_inputs
from tune_nas.strategies.strategy import ProxyScore


def proxy_of(trial: TrialConfig) -> ProxyScore | None:
    """Return the scores that ``strategy.nosh.proxy`` names; None if its strategy reads none.

    Raises:
        ConfigError: If the proxy cannot be built.
        DataError: If the images cannot be read.
    """
    name = proxy_name(trial)
    return None if name is None else make_proxy(name, proxy_inputs(trial)).score


def proxy_name(trial: TrialConfig) -> str | None:
    """Return the proxy that the strategy of a trial reads; None if it reads none."""
    config = strategy_of(trial)
    return config.nosh.proxy if may_read(config, "strategy.nosh.proxy") else None
