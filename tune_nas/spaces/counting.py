"""Sizes of networks: parameters and multiply-adds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tune_nas.errors import ConfigError
from tune_nas.seeds import building
from tune_nas.spaces.genotype import Genotype
from tune_nas.spaces.network import build_network
from tune_nas.spaces.space import Space

MOST_CHANNELS = 4096
"""Largest number of channels of the first cell that `channels_under` tries."""

_LARGE = 1_000_000  # channels² · cells: half a gigabyte; 25,920 in papers


@dataclass(frozen=True)
class ModelSize:
    """Parameters (without an auxiliary head) and multiply-adds of one image."""

    parameters: int
    multiply_adds: int


def count_parameters(module: nn.Module, without_auxiliary: bool = True) -> int:
    """Count the parameters of a module.

    Args:
        module: Any module.
        without_auxiliary: Exclude those of a `Network`'s auxiliary head, as in papers.
    """
    return sum(
        parameter.numel()
        for name, parameter in module.named_parameters()
        if not (without_auxiliary and name.startswith("auxiliary."))
    )


def count_multiply_adds(
    network: nn.Module, image_size: int | tuple[int, int], in_channels: int = 3
) -> int:
    """Count the multiply-adds of one image in evaluation mode (no auxiliary head).

    Convolutions and linear layers count, pooling and normalization do not. A bias counts as one
    addition per output, as for the FLOPs in NAS-Bench-201's table.

    Args:
        network: A module whose only input is images.
        image_size: Side of the images in pixels, or (height, width).
        in_channels: Channels of the images.
    """
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    counted = 0

    def count(module: nn.Module, inputs: object, output: Tensor) -> None:
        nonlocal counted
        if isinstance(module, nn.Conv2d | nn.Linear):
            per_output = module.weight[0].numel() + (module.bias is not None)
            counted += math.prod(output.shape[1:]) * per_output

    hooks = [module.register_forward_hook(count) for module in network.modules()]
    mode = network.training
    # an empty batch passes through every layer in full size, without computing anything
    nothing = next(network.parameters()).new_zeros(0, in_channels, height, width)
    try:
        network.eval()
        with torch.no_grad():
            network(nothing)
    finally:
        network.train(mode)
        for hook in hooks:
            hook.remove()
    return counted


def channels_under(
    genotype: Genotype,
    space: Space,
    bound: int,
    *,
    image_size: int,
    n_classes: int,
    cells: int | None = None,
) -> int:
    """Return the largest even number of channels whose network has at most ``bound`` multiply-adds.

    Args:
        genotype: The architecture.
        space: Its space.
        bound: Multiply-adds of one image.
        image_size: Side of the images in pixels.
        n_classes: Number of classes.
        cells: Number of cells (per stage in the layout ``stages``); None for the usual number.

    Raises:
        ConfigError: If even two channels have more, or `MOST_CHANNELS` have fewer.
    """

    def count(channels: int) -> int:
        return model_size(
            genotype,
            space,
            image_size=image_size,
            n_classes=n_classes,
            init_channels=channels,
            cells=cells,
        ).multiply_adds

    if (least := count(2)) > bound:
        raise ConfigError(
            f"the network has {least:,} multiply-adds with 2 channels, but must have at most "
            f"{bound:,}; allow more, or use fewer cells"
        )
    low, high = 2, 4
    while high <= MOST_CHANNELS and count(high) <= bound:
        low, high = high, 2 * high
    if high > MOST_CHANNELS:
        raise ConfigError(
            f"the bound is {bound:,} multiply-adds, but the network has fewer with "
            f"{MOST_CHANNELS:,} channels, the largest number; lower the bound"
        )
    while high - low > 2:
        middle = (low + high) // 4 * 2
        low, high = (middle, high) if count(middle) <= bound else (low, middle)
    return low


def model_size(
    genotype: Genotype,
    space: Space,
    *,
    image_size: int | tuple[int, int],
    n_classes: int,
    in_channels: int = 3,
    init_channels: int | None = None,
    cells: int | None = None,
) -> ModelSize:
    """Return the size of a genotype's final network, in a tenth of a second on the CPU.

    It is built but not run, and torch's random state is unchanged.

    Args:
        genotype: The architecture.
        space: Its space.
        image_size: Side of the images in pixels, or (height, width).
        n_classes: Number of classes.
        in_channels: Channels of the images.
        init_channels: Channels of the first cell; None for the space's usual final size.
        cells: Number of cells (per stage in the layout ``stages``); None likewise.

    Raises:
        GenotypeError: If the space does not contain the genotype.
        ValueError: If a number is below 1.
    """
    usual_channels, usual_cells = space.final_size
    size = (init_channels or usual_channels) ** 2 * (cells or usual_cells)
    # On the meta device, nothing takes memory; building there is ten times slower.
    device = torch.device("meta" if size > _LARGE else "cpu")
    with building(), device:  # counting must not change later random values
        network = build_network(
            genotype,
            space,
            n_classes=n_classes,
            in_channels=in_channels,
            init_channels=init_channels,
            cells=cells,
        )
    return ModelSize(
        count_parameters(network), count_multiply_adds(network, image_size, in_channels)
    )
