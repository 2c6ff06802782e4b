"""Ray: private and quiet on one machine, or a given cluster."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import ray
from ray.exceptions import ActorAlreadyExistsError

from tune_nas.errors import StorageError
from tune_nas.sweep.options import RunOptions
from tune_nas.sweep.ray import local_ray, room
from tune_nas.sweep.ray.environment import check_address, is_local, prepare_environment

_DRIVERS = "tune-nas"  # Ray's namespace of the sweeps that have a driver
_LEAVING_SECONDS = 10.0  # until the cluster notices that a driver was killed


@contextmanager
def connect(address: str | None) -> Iterator[None]:
    """Run a private Ray on this machine, or use a cluster, within the block.

    A Ray that this process has already started is used as it is, and left running.

    Args:
        address: ``HOST:PORT``, ``ray://HOST:PORT``, ``auto``, or None for this machine alone.

    Raises:
        StorageError: If Ray cannot be started, or the cluster cannot be reached.
    """
    local = is_local(address)
    prepare_environment(address)
    if ray.is_initialized():
        yield
        return
    check_address(address)
    if local:
        local_ray.start()
    else:
        _join(str(address))
    try:
        yield
    finally:
        ray.shutdown()


def _join(address: str) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # Ray raises no more specific error
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise StorageError(f"Ray cluster {address} cannot be used: {reason}") from error


@contextmanager
def registered(sweep: str) -> Iterator[None]:
    """Keep a second driver of a sweep out of the cluster within the block.

    An actor, whose name is unique, registers the sweep. It ends with the driver, however that ends,
    and moves to another node if its node is lost.

    Args:
        sweep: The URI of its folder.

    Raises:
        StorageError: If the sweep already has another driver.
    """
    registration = ray.remote(num_cpus=0, max_restarts=-1)(_Registration)
    named = registration.options(name=sweep, namespace=_DRIVERS)
    deadline = time.monotonic() + _LEAVING_SECONDS
    while True:
        try:
            actor = named.remote()
            break
        except ActorAlreadyExistsError as error:
            if time.monotonic() > deadline:
                message = f"{sweep} is running, by another driver of the cluster"
                raise StorageError(message) from error
            time.sleep(0.5)
    try:
        yield
    finally:
        ray.kill(actor)


class _Registration:
    """Holds a name, and does nothing."""


def trials_at_once(options: RunOptions, workers: int = 1) -> int:
    """Return the maximum number of concurrent trials: as requested, else as many as fit.

    On one machine the number is limited to those that fit: Optuna would otherwise sample trials
    that only wait. A cluster may grow.

    Args:
        options: Where and how trials run.
        workers: Number of processes of a trial.

    Raises:
        ConfigError: If not even one trial fits.
    """
    nodes = _nodes()
    room.check_room(nodes, options, workers)
    fitting = room.trials_at_once(nodes, options, workers)
    if options.concurrency is None:
        return fitting
    grows = not is_local(options.address) and not options.shares_processes
    return options.concurrency if grows else min(options.concurrency, fitting)


def searches_per_process(options: RunOptions) -> int:
    """Return the number of searches per process: as requested, if they fit on one node."""
    return room.searches_per_process(_nodes(), options)


def _nodes() -> list[room.Node]:
    """Return the live nodes of the cluster."""
    resources = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [room.Node(float(r.get("CPU", 0)), float(r.get("GPU", 0))) for r in resources]
