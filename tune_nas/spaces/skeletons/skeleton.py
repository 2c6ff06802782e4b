"""The skeleton of a network: its stem, its stack of cells, and its last layers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from functools import cache
from typing import ClassVar

from torch import Tensor, nn

from tune_nas.spaces.skeletons.position import Position


class Skeleton(ABC):
    """How cells are stacked into a network; it has no state.

    Attributes:
        name: Its name in ``skeleton.layout`` of a space.
        stem: The stem in words.
        stack: The stack in words.
        cell_types: The types of cells that it has.
        has_bridges: Whether 1×1 convolutions adapt the outputs of cells to the next cells.
        by_stage: Whether the number of cells is that of each of three stages.
        halvings: Number of times that the stem halves the map.
        images: The usual side of the images in pixels, and the number of classes.
        auxiliary_norm: Whether the auxiliary head has a normalization after its last convolution.
        least_channels: Smallest number of channels of the first cell.
        usual_size: The usual channels and number of cells of a final network; None for those of
            the space.
    """

    name: ClassVar[str]
    stem: ClassVar[str] = "one 3 × 3 convolution of stride 1, as for CIFAR-10"
    stack: ClassVar[str]
    cell_types: ClassVar[tuple[str, ...]]
    has_bridges: ClassVar[bool]
    by_stage: ClassVar[bool] = False
    halvings: ClassVar[int] = 0
    images: ClassVar[tuple[int, int]] = (32, 10)
    auxiliary_norm: ClassVar[bool] = True
    least_channels: ClassVar[int] = 1
    usual_size: ClassVar[tuple[int, int] | None] = None

    @abstractmethod
    def plan(self, init_channels: int, cells: int) -> list[Position]:
        """Return the stack, with the channels doubled at each reduction.

        Args:
            init_channels: Channels of the first cell.
            cells: Number of cells (of each stage if it is `by_stage`).
        """

    def make_stem(self, in_channels: int, init_channels: int, multiplier: int) -> nn.Module:
        """Return the stem: by default, a 3×3 convolution and a batch normalization.

        Args:
            in_channels: Channels of the images.
            init_channels: Channels of the first cell.
            multiplier: Ratio of the stem's channels to those of the first cell.
        """
        channels = multiplier * init_channels
        return nn.Sequential(
            nn.Conv2d(in_channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        )

    def make_last(self, channels: int) -> nn.Module:
        """Return the layers between the last cell and the pooling, for its output channels."""
        return nn.Identity()

    def stem_states(
        self, init_channels: int, multiplier: int, n_inputs: int
    ) -> list[tuple[int, bool]]:
        """Return the channels of each output of the stem, and whether a halving leads to it."""
        return [(multiplier * init_channels, False)] * n_inputs

    def run_stem(self, stem: nn.Module, x: Tensor, n_inputs: int) -> list[Tensor]:
        """Return the outputs of the stem, the inputs of the first cell.

        Args:
            stem: The stem.
            x: Images (n, in_channels, h, w).
            n_inputs: Number of input nodes of a cell.
        """
        return [stem(x)] * n_inputs

    def absent_cells(self, cells: int, types: Iterable[str]) -> list[str]:
        """Return the cell types that do not occur in the stack.

        Args:
            cells: Number of cells (of each stage if it is `by_stage`).
            types: All cell types of the space.
        """
        present = {position.cell for position in self.plan(1, cells)}
        return [name for name in types if name not in present]

    def smallest_batch(self, cells: int, side: int) -> int:
        """Return the batch size needed for batch normalization with batch statistics.

        With one value per channel, the mean is this value and the deviation 0: no information
        remains.

        Args:
            cells: Number of cells (of each stage if it is `by_stage`).
            side: Height and width of the images, in pixels.

        Returns:
            2 if the reductions leave a map of one pixel, else 1.
        """
        return _smallest_batch(self, cells, side)

    def stem_side(self, side: int) -> int:
        """Return the side of the map after the stem, for images of a side, both in pixels."""
        for _ in range(self.halvings):
            side = (side + 1) // 2
        return side

    def sides(self, cells: int, side: int) -> list[int]:
        """Return the side of the map after the stem and after each block, in pixels."""
        side = self.stem_side(side)
        found = [side]
        for position in self.plan(1, cells):
            side = (side + 1) // 2 if position.reduction else side
            found.append(side)
        return found


@cache  # every pass of a supernet asks for it
def _smallest_batch(skeleton: Skeleton, cells: int, side: int) -> int:
    return 2 if skeleton.sides(cells, side)[-1] == 1 else 1
