"""The process group in which the workers of one trial exchange tensors."""

from __future__ import annotations

import os
import sys

import ray
from torch import distributed

from tune_nas.config import RuntimeConfig
from tune_nas.errors import ConfigError
from tune_nas.runtime import resolve_device

_LOOPBACK = {"linux": "lo", "darwin": "lo0"}


def join(runtime: RuntimeConfig, address: str, rank: int, size: int, *, one_machine: bool) -> None:
    """Join the other workers of a trial; call it in a Ray actor.

    Args:
        runtime: The trial's device.
        address: Where all workers meet, as `init_process_group` takes it.
        rank: Number of this worker, from 0.
        size: Number of workers.
        one_machine: Whether all are on this machine, and need no other network than its own.

    Raises:
        ConfigError: If the workers would have to share a GPU.
    """
    n_gpus = ray.get_runtime_context().get_assigned_resources().get("GPU", 0)
    on_gpu = resolve_device(runtime.device).type == "cuda"
    if on_gpu and n_gpus < 1:
        raise ConfigError(
            f"`gpus_per_trial` is {n_gpus:g}, but must be 1 with runtime.workers "
            f"{size}: each worker uses a separate GPU; or set runtime.device to cpu"
        )
    if one_machine and sys.platform in _LOOPBACK:
        for library in ("GLOO", "NCCL"):
            os.environ.setdefault(f"{library}_SOCKET_IFNAME", _LOOPBACK[sys.platform])
    distributed.init_process_group(
        "nccl" if on_gpu else "gloo", init_method=address, rank=rank, world_size=size
    )
