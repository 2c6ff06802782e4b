"""Construction of a proxy by its name."""

from __future__ import annotations

from tune_nas.proxies.proxy import Proxy, ProxyInputs
from tune_nas.user_code import load_class

KEY = "strategy.nosh.proxy"
"""The key of a trial that names a proxy."""


def make_proxy(name: str, inputs: ProxyInputs) -> Proxy:
    """Return a proxy: ``parameters``, ``multiply-adds``, ``synflow``, ``naswot``, ``grad-norm``.

    Args:
        name: The name, or ``module:Class`` of a custom class derived from `Proxy`.
        inputs: The network and the images.

    Raises:
        ConfigError: If the class cannot be imported, or is not derived from `Proxy`.
    """
    proxy: Proxy = load_class(KEY, name, Proxy)(inputs)
    return proxy
