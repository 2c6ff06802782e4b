"""Block sizes of the Triton kernels, and buffers for their results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from tune_nas.native.gpu.groups import Group, Step

ROWS = 64  # of partial sums that are added up side by side

_PROGRAMS = 512  # that share the pixels of a launch: about four per multiprocessor of a large GPU


def ceil_div(a: int, b: int) -> int:
    """Return a / b, rounded up."""
    return -(-a // b)


def power_of_two(n: int) -> int:
    """Return the smallest power of two that is at least n."""
    return 1 << (n - 1).bit_length()


def side_by_side(tensors: Iterable[Tensor]) -> tuple[Tensor, ...]:
    """Pad the values of a launch's chains to a power of two.

    This limits the number of compiled variants; the padding is never read.
    """
    found = tuple(tensors)
    return found + found[:1] * (power_of_two(len(found)) - len(found))


def pixels_of(size: tuple[int, int, int]) -> int:
    """Return the number of pixels of (n, height, width)."""
    return size[0] * size[1] * size[2]


def blocks(channels: int) -> dict[str, int]:
    """Return the block sizes of a program, and its launch settings.

    With them, all values of a program fit into registers up to 64 channels in float32. Loads are
    not pipelined (``num_stages``): with dense convolutions that would exceed the shared memory.
    """
    size = max(16, power_of_two(channels))
    small = size <= 32
    return {
        "C": channels,
        "BC": size,
        "BP": 64 if small else 32,
        "num_warps": 4 if small else 8,
        "num_stages": 1,
    }


def programs_for(pixels: int, channels: int, shares: int) -> int:
    """Return the number of programs that share the pixels, given the number of parallel shares."""
    return min(ceil_div(pixels, blocks(channels)["BP"]), max(32, _PROGRAMS // shares))


def window(group: Group) -> dict[str, int]:
    """Return the kernel size of a group's convolution, the depthwise one if there is one."""
    _, dilation, stride = group.stage.shape
    kernel = (group.stage.depthwise or group.stage.dense).kernel_size[0]
    return {"KERNEL": kernel, "DILATION": dilation, "STRIDE": stride}


def new_maps(like: Tensor, n: int, size: tuple[int, int, int], channels: int) -> tuple[Tensor, ...]:
    """Return n adjacent tensors (images, channels, height, width) in channels_last."""
    found = like.new_empty(n, *size, channels)
    return tuple(found.permute(0, 1, 4, 2, 3).unbind())


def new_sums(like: Tensor, n: int, programs: int) -> Tensor:
    """Return a buffer for two sums by channel for each of n, by program."""
    shape = (n, programs, 2, like.shape[1])
    return torch.empty(shape, dtype=torch.float64, device=like.device)


def weights_of(steps: Sequence[Step]) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Return the depthwise and the dense weights; the latter for both if there are no depthwise."""
    first, last = (side_by_side(step.weights[i] for step in steps) for i in (0, -1))
    return first, last


def strides_of(steps: Sequence[Step]) -> dict[str, int]:
    """Return the strides of the weights: by output, by input, by tap."""
    depthwise, dense = steps[0].weights[0].stride(), steps[0].weights[-1].stride()
    return {"DO": depthwise[0], "DT": depthwise[3], "WO": dense[0], "WI": dense[1], "WT": dense[3]}


def learnt(steps: Sequence[Step], instead: tuple[Tensor, ...]) -> list[tuple[Tensor, ...]]:
    """Return learned scales and shifts; if there are none, placeholders that are not read."""
    if not steps[0].stage.norm.affine:
        return [instead] * 2
    return [side_by_side(column) for column in zip(*(s.gain_and_bias for s in steps), strict=True)]


def running(steps: Sequence[Step], instead: tuple[Tensor, ...]) -> list[tuple[Tensor, ...]]:
    """Return the running means, variances and counts; if there are none, unread placeholders."""
    if not steps[0].stage.norm.track_running_stats:
        return [instead] * 3
    norms = [step.stage.norm for step in steps]
    found = [(norm.running_mean, norm.running_var, norm.num_batches_tracked) for norm in norms]
    columns = zip(*found, strict=True)
    return [side_by_side(t for t in column if t is not None) for column in columns]
