"""The training-free proxy of a black-box search that trains candidates."""

from __future__ import annotations

from tune_nas.candidates.candidate_trial import strategy_of
from tune_nas.config import TrialConfig
from tune_nas.manifest import is_shipped
from tune_nas.proxies import make_proxy, proxy_inputs
from tune_nas.strategies.strategy import Proxy

_RANK_NOSH = "rank-nosh"


def proxy_of(trial: TrialConfig) -> Proxy | None:
    """Return the scores that ``strategy.nosh.proxy`` names; None if its strategy reads none.

    Raises:
        ConfigError: If the proxy cannot be built.
        DataError: If the images cannot be read.
    """
    config = strategy_of(trial)
    name, kind = config.nosh.proxy, config.kind
    if name is None or (is_shipped("strategies", kind) and kind != _RANK_NOSH):
        return None
    return make_proxy(name, proxy_inputs(trial)).score
