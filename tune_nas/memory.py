"""Check that a network fits into memory, before anything is allocated.

The requirement is a lower bound, so that nothing that could run is rejected.
"""

from __future__ import annotations

import torch

from tune_nas.errors import ConfigError
from tune_nas.runtime import memory_bytes
from tune_nas.spaces import NetworkEstimate


def check_weights(
    estimate: NetworkEstimate, dtype: torch.dtype, device: torch.device, keys: str
) -> None:
    """Check that the weights of a network fit into the memory of a device.

    Args:
        estimate: Its size.
        dtype: Type of the weights.
        device: Device of the network.
        keys: The keys that determine its size, for the message.

    Raises:
        ConfigError: If they do not.
    """
    memory = memory_bytes(device)
    needed = estimate.parameters * dtype.itemsize
    if memory is not None and needed > memory:
        raise ConfigError(
            f"the network has {estimate.parameters:,} parameters, which take {gib(needed)} GiB, "
            f"but {device} has {gib(memory)} GiB; lower {keys}"
        )


def check_training(
    estimate: NetworkEstimate,
    batch_size: int,
    dtype: torch.dtype,
    device: torch.device,
    *,
    bfloat16: bool = False,
    batch_key: str,
    keys: str,
) -> None:
    """Check that a training step of a network fits into the memory of a device.

    Args:
        estimate: The size of the network.
        batch_size: Number of images per batch.
        dtype: Type of the weights.
        device: Device of the training.
        bfloat16: Whether the pass is in mixed precision.
        batch_key: The key that decides the batch size, for the message.
        keys: The keys that decide the size of the network, likewise.

    Raises:
        ConfigError: If it does not; names the largest batch size that might.
    """
    memory = memory_bytes(device)
    weights = 2 * estimate.parameters * dtype.itemsize  # with their gradients
    image = estimate.kept * (2 if bfloat16 else dtype.itemsize)
    if memory is None or weights + batch_size * image <= memory:
        return
    fits = (memory - weights) // image if image else 0
    if fits >= 1:
        raise ConfigError(
            f"a batch of {batch_size} images takes at least {gib(weights + batch_size * image)} "
            f"GiB, but {device} has {gib(memory)} GiB: {batch_key} must be <= {fits}; or lower "
            f"{keys}"
        )
    raise ConfigError(
        f"training the network takes at least {gib(weights + image)} GiB, with "
        f"{estimate.parameters:,} parameters, but {device} has {gib(memory)} GiB; lower {keys}"
    )


def check_scoring(
    estimate: NetworkEstimate,
    images: int,
    dtype: torch.dtype,
    device: torch.device,
    proxy: str,
    *,
    forward_images: int = 0,
) -> None:
    """Check that a training-free proxy of a network fits into the memory of a device.

    Args:
        estimate: The size of the network.
        images: Number of images that it propagates backward at a time; 0 if none.
        dtype: Type of the weights.
        device: Device of the network.
        proxy: Name of the proxy, for the message.
        forward_images: Number of images that only pass forward at a time.

    Raises:
        ConfigError: If it does not.
    """
    memory = memory_bytes(device)
    gradients = estimate.parameters if images else 0
    values = images * estimate.kept + forward_images * estimate.passing
    needed = (estimate.parameters + gradients + values) * dtype.itemsize
    if memory is not None and needed > memory:
        raise ConfigError(
            f"proxy '{proxy}' takes at least {gib(needed)} GiB for a network of "
            f"{estimate.parameters:,} parameters, but {device} has {gib(memory)} GiB; it needs "
            "fewer channels, fewer cells or smaller images"
        )


def gib(size: int) -> str:
    """Return bytes in GiB, with one decimal."""
    return f"{size / 2**30:,.1f}"
