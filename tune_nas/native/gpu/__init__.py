"""Triton kernels for a GPU. Importing this package alone does not import triton."""

from __future__ import annotations

import importlib.util
import logging
from functools import cache

import torch
from torch import Tensor

MOST_CHANNELS = 64  # with more, the values of a program do not fit into its registers

_LOG = logging.getLogger(__name__)


def gpu_kernels_for(x: Tensor) -> bool:
    """Return whether there are Triton kernels for a tensor (n, channels, h, w) on a GPU.

    Each type and number of channels is checked at its first use: see `kernels_agree`. If the
    kernels do not work, one line is logged, and torch's operations are used.
    """
    channels = x.shape[1]
    return (
        channels <= MOST_CHANNELS
        and x.numel() < 2**31
        and _has_triton()
        and _work(x.device, x.dtype, channels)
    )


@cache
def _has_triton() -> bool:
    if importlib.util.find_spec("triton") is None:
        _LOG.warning("no Triton, torch's operations are used on the GPU")
        return False
    return True


@cache
def _work(device: torch.device, dtype: torch.dtype, channels: int) -> bool:
    from tune_nas.native.gpu.check import kernels_agree  # it imports triton

    return kernels_agree(device, dtype, channels)
