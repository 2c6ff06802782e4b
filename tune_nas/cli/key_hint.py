"""A hint for an unknown option that is a key of a trial: ``--lambda`` is ``update.lambda``."""

from __future__ import annotations

from tune_nas.config import TrialConfig, dotted_keys

_SETTINGS = "settings"  # the parameter of ``--set``
_MOST_KEYS = 3


def key_hint(error: Exception) -> str:
    """Return how to set the key that an unknown option names; empty if it names none.

    Args:
        error: An error of the command line; only an unknown option of a command with ``--set`` is
            explained.
    """
    option, context = getattr(error, "option_name", None), getattr(error, "ctx", None)
    if not isinstance(option, str) or context is None:
        return ""
    if all(parameter.name != _SETTINGS for parameter in context.command.params):
        return ""
    name = option.lstrip("-").replace("-", "_")
    keys = [key for key in dotted_keys(TrialConfig) if name in (key, key.rpartition(".")[2])]
    if not keys:
        return ""
    ways = [f"--set {key}=VALUE" for key in keys[:_MOST_KEYS]]
    return f"; set the key of the trial: {' or '.join(ways)}"
