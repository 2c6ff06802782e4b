"""Maps the keys in messages to the flags that set them."""

from __future__ import annotations

from collections.abc import Mapping

FLAGS: Mapping[str, str] = {
    "address": "--address",
    "analysis.edges": "--edge",
    "concurrency": "--concurrency",
    "cpus_per_trial": "--cpus-per-trial",
    "data.dir": "--data-dir",
    "data.name": "--data",
    "failed": "--failed",
    "force": "--force",
    "format": "--format",
    "gpus_per_trial": "--gpus-per-trial",
    "max_accuracy_drop": "--max-accuracy-drop",
    "metric": "--metric",
    "mlflow": "--mlflow",
    "name": "--name",
    "space.name": "--space",
    "stopped": "--stopped",
    "storage": "--storage",
    "strategy.nosh.proxy": "--proxy",
    "to": "--to",
    "together": "--searches-per-process",
    "workers": "--workers",
}
"""Key in backticks, as in messages → flag."""


def with_flags(message: str) -> str:
    """Return a message with the flag of each key: "`concurrency` is 0" as "--concurrency is 0"."""
    for key, flag in FLAGS.items():
        message = message.replace(f"`{key}`", flag)
    return message
