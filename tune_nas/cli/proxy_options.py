"""The options of `tune-nas inspect` that choose training-free proxies; imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tune_nas import manifest
from tune_nas.errors import ConfigError


@dataclass(frozen=True)
class ProxyOptions:
    """The proxies to compute.

    Args:
        names: Their names, or ``module:Class``.
        data: Name of the data set.
        data_dir: Directory with its files; None for the default.
    """

    names: tuple[str, ...]
    data: str
    data_dir: str | None


def proxy_options(
    wanted: bool, names: Sequence[str], data: str | None, data_dir: str | None
) -> ProxyOptions | None:
    """Return the proxies that the options of the command choose; None if they choose none.

    Raises:
        ConfigError: If options of proxies are given without one.
    """
    if wanted or names:
        chosen = dict.fromkeys(names or manifest.names("proxies"))
        return ProxyOptions(tuple(chosen), data or "digits", data_dir)
    for flag, value in (("--data", data), ("--data-dir", data_dir)):
        if value is not None:
            raise ConfigError(f"{flag} is '{value}', but has no effect without --proxies")
    return None
