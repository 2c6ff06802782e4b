"""Number of concurrent trials on given nodes, as Ray would place them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tune_nas.errors import ConfigError
from tune_nas.sweep.options import RunOptions

_UNITS = 10_000  # Ray counts in ten-thousandths of a CPU or GPU


class Node(NamedTuple):
    """The resources of one machine."""

    cpus: float
    gpus: float = 0.0


def check_room(nodes: Sequence[Node], options: RunOptions, workers: int = 1) -> None:
    """Check that at least one trial fits on the nodes; otherwise Ray would wait forever.

    Args:
        nodes: The nodes.
        options: The resources of a process.
        workers: Number of processes of a trial; each of them is on one node.

    Raises:
        ConfigError: If no node has enough CPUs and GPUs for a process, or all of them together have
            not enough for a trial.
    """
    needs = (("cpus", options.cpus), ("gpus", options.gpus))
    for kind, needed in needs:
        largest = max((getattr(node, kind) for node in nodes), default=0.0)
        if needed > largest:
            owner = "the machine" if len(nodes) == 1 else "the largest node"
            raise ConfigError(
                f"`{kind}_per_trial` is {needed:g}, but must be at most {largest:g}, which is what "
                f"{owner} has"
            )
    if not any(_trials_on(node, options) for node in nodes):
        raise ConfigError(
            f"`cpus_per_trial` is {options.cpus:g} with `gpus_per_trial` {options.gpus:g}, but no "
            "node has both; use fewer of one"
        )
    most = sum(_trials_on(node, options) for node in nodes)
    if workers > most:
        owner = "the machine has" if len(nodes) == 1 else "the nodes have"
        cpus, gpus = (sum(getattr(node, kind) for node in nodes) for kind, _ in needs)
        raise ConfigError(
            f"runtime.workers is {workers}, but must be at most {most}: {owner} {cpus:g} CPUs and "
            f"{gpus:g} GPUs, and a worker needs {options.cpus:g} (`cpus_per_trial`) and "
            f"{options.gpus:g} (`gpus_per_trial`)"
        )


def trials_at_once(nodes: Sequence[Node], options: RunOptions, workers: int = 1) -> int:
    """Return the number of trials that fit on the nodes at the same time, at least 1.

    Args:
        nodes: The nodes.
        options: The resources of a process.
        workers: Number of processes of a trial.
    """
    if not options.shares_processes:
        return max(1, sum(_trials_on(node, options) for node in nodes) // workers)
    size = searches_per_process(nodes, options)
    return size * max(1, sum(_trials_on(node, options, size) for node in nodes))


def searches_per_process(nodes: Sequence[Node], options: RunOptions) -> int:
    """Return the number of searches per process, all on one node; at least 1."""
    largest = max((_trials_on(node, options) for node in nodes), default=1)
    return max(1, min(options.together or 1, largest))


def _trials_on(node: Node, options: RunOptions, size: int = 1) -> int:
    """Return the number of processes with ``size`` trials each that fit on a node.

    A process gets its fraction of a GPU from a single GPU: 0.15 fits 6 times on one, and 12 times
    on two, not 13 times.
    """
    on_cpus = _times(node.cpus, size * options.cpus)
    if options.gpus == 0:
        return on_cpus
    per_gpu = _times(1, size * options.gpus)
    on_gpus = int(node.gpus) * per_gpu if per_gpu else _times(node.gpus, size * options.gpus)
    return min(on_cpus, on_gpus)


def _times(available: float, needed: float) -> int:
    """Return how many times a quantity fits into another, in Ray's units."""
    return round(available * _UNITS) // max(1, round(needed * _UNITS))
