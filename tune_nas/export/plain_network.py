"""A final network in evaluation form, made of torch's own layers; it needs torch alone.

`standalone` writes this file, followed by one architecture, as a separate Python file. Parameters
have the names of the network in a checkpoint, except those of the stem.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Cell(NamedTuple):
    """A discrete cell: its edges are (source node, target node, operation)."""

    n_inputs: int
    n_nodes: int
    concatenates: bool
    edges: tuple[tuple[int, int, str], ...]


class Block(NamedTuple):
    """A cell, or a residual reduction without one; inputs: (channels, is larger by a factor 2)."""

    cell: str
    channels: int
    reduction: bool
    inputs: tuple[tuple[int, bool], ...]
    odd: bool = False


class Architecture(NamedTuple):
    """A network: sizes, cells by name, and the stack of blocks."""

    in_channels: int
    n_classes: int
    stem_channels: int
    out_channels: int
    has_bridges: bool
    stem_halves: bool
    cells: dict[str, Cell]
    blocks: tuple[Block, ...]


def conv_norm(channels_in: int, channels_out: int, kernel: int = 1, stride: int = 1) -> nn.Module:
    """Return ReLU, a convolution, batch normalization; a 1×1 convolution subsamples before."""
    first: nn.Module = nn.ReLU()
    if kernel == 1 and stride > 1:
        first, stride = nn.Sequential(nn.ReLU(), nn.MaxPool2d(1, stride)), 1
    conv = nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(first, conv, nn.BatchNorm2d(channels_out))


def conv3x3(channels_in: int, channels_out: int, stride: int) -> list[nn.Module]:
    """Return a 3×3 convolution and batch normalization."""
    conv = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
    return [conv, nn.BatchNorm2d(channels_out)]


def separable(channels: int, kernel: int, stride: int, dilation: int = 1) -> list[nn.Module]:
    """Return ReLU, a depthwise and a pointwise convolution, batch normalization."""
    pad = dilation * (kernel - 1) // 2
    return [
        nn.ReLU(),
        nn.Conv2d(channels, channels, kernel, stride, pad, dilation, channels, bias=False),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels),
    ]


class FactorizedReduction(nn.Module):
    """Halve the map by two pointwise convolutions on pixels one apart, concatenated."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        half = channels_out // 2
        self.subsample = nn.MaxPool2d(1, 2)
        self.straight = nn.Conv2d(channels_in, half, 1, bias=False)
        self.shifted = nn.Conv2d(channels_in, channels_out - half, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels_in, h, w) to (n, channels_out, ceil(h / 2), ceil(w / 2))."""
        x = F.relu(x)
        shifted = F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))[:, :, 1:, 1:]
        straight = self.straight(self.subsample(x))
        out: Tensor = self.norm(torch.cat([straight, self.shifted(self.subsample(shifted))], 1))
        return out


Operations = Mapping[str, Callable[[int, int], nn.Module]]
OPERATIONS: Operations = {
    "skip_connect": lambda c, s: nn.Identity() if s == 1 else FactorizedReduction(c, c),
    "max_pool_3x3": lambda c, s: nn.MaxPool2d(3, s, 1),
    "avg_pool_3x3": lambda c, s: nn.AvgPool2d(3, s, 1, count_include_pad=False),
    "sep_conv_3x3": lambda c, s: nn.Sequential(*separable(c, 3, s), *separable(c, 3, 1)),
    "sep_conv_5x5": lambda c, s: nn.Sequential(*separable(c, 5, s), *separable(c, 5, 1)),
    "dil_conv_3x3": lambda c, s: nn.Sequential(*separable(c, 3, s, 2)),
    "dil_conv_5x5": lambda c, s: nn.Sequential(*separable(c, 5, s, 2)),
    "nor_conv_1x1": lambda c, s: conv_norm(c, c, 1, s),
    "nor_conv_3x3": lambda c, s: conv_norm(c, c, 3, s),
}


class CellBody(nn.Module):
    """The nodes of a cell; edges with ``none`` are left out."""

    def __init__(self, cell: Cell, channels: int, reduction: bool, build: Operations) -> None:
        super().__init__()
        self.cell = cell
        self.reduction = reduction
        self.operations = nn.ModuleDict()
        for row, (source, _, name) in enumerate(cell.edges):
            if name != "none":
                stride = 2 if reduction and source < cell.n_inputs else 1
                self.operations[str(row)] = build[name](channels, stride)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Map the input nodes (n, channels, h, w) to the output of the cell."""
        nodes = list(inputs)
        first = self.cell.n_inputs
        for node in range(first, first + self.cell.n_nodes):
            total: Tensor | None = None
            for row, (source, target, name) in enumerate(self.cell.edges):
                if target == node and name != "none":
                    term = self.operations[str(row)](nodes[source])
                    total = term if total is None else total + term
            if total is None:  # no edge leads here
                like = F.max_pool2d(nodes[0], 1, 2) if self.reduction else nodes[0]
                total = torch.zeros_like(like)
            nodes.append(total)
        return torch.cat(nodes[first:], 1) if self.cell.concatenates else nodes[-1]


class CellBlock(nn.Module):
    """A cell and the bridges that adapt the outputs of earlier blocks to it."""

    def __init__(self, block: Block, cell: Cell, bridges: bool, build: Operations) -> None:
        super().__init__()
        self.preprocess = nn.ModuleList(
            nn.Identity()
            if not bridges
            else (FactorizedReduction if larger else conv_norm)(channels, block.channels)
            for channels, larger in block.inputs
        )
        self.body = CellBody(cell, block.channels, block.reduction, build)

    def forward(self, states: Sequence[Tensor]) -> Tensor:
        """Return the output of the cell for the outputs of the blocks before it."""
        inputs = [module(x) for module, x in zip(self.preprocess, states, strict=True)]
        out: Tensor = self.body(inputs)
        return out


class ResidualBlock(nn.Module):
    """NAS-Bench-201's basic ResNet block of stride 2; ``odd``: whether its input's side is odd."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        channels_in = block.inputs[0][0]
        self.first = conv_norm(channels_in, block.channels, 3, 2)
        self.second = conv_norm(block.channels, block.channels, 3)
        pool = nn.AvgPool2d(2, 2, ceil_mode=bool(block.odd))
        conv = nn.Conv2d(channels_in, block.channels, 1, bias=False)
        self.shortcut = nn.Sequential(pool, conv)

    def forward(self, states: Sequence[Tensor]) -> Tensor:
        """Map the last output (n, c, h, w) to (n, channels, ceil(h / 2), ceil(w / 2))."""
        x = states[-1]
        out: Tensor = self.shortcut(x) + self.second(self.first(x))
        return out


class PlainNetwork(nn.Module):
    """The network of an architecture; with `normalizes`, it takes images in [0, 1]."""

    def __init__(
        self, architecture: Architecture, normalizes: bool = False, build: Operations = OPERATIONS
    ) -> None:
        super().__init__()
        a, c, width = architecture, architecture.stem_channels, architecture.out_channels
        norm = nn.BatchNorm2d(a.in_channels, eps=0.0, affine=False)
        self.normalize = norm if normalizes else nn.Identity()
        self.n_inputs = next(iter(a.cells.values())).n_inputs
        stem = {"first": conv3x3(a.in_channels, c, 1)}
        if a.stem_halves:
            first = [*conv3x3(a.in_channels, c // 2, 2), nn.ReLU(), *conv3x3(c // 2, c, 2)]
            stem = {"first": first, "second": [nn.ReLU(), *conv3x3(c, c, 2)]}
        self.stem = nn.ModuleDict({name: nn.Sequential(*part) for name, part in stem.items()})
        self.blocks = nn.ModuleList(
            CellBlock(block, a.cells[block.cell], a.has_bridges, build)
            if block.cell
            else ResidualBlock(block)
            for block in a.blocks
        )
        normed = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU())
        self.last = nn.Identity() if a.has_bridges else normed
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(width, a.n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (n, n_classes) of images (n, in_channels, h, w)."""
        x = self.normalize(x)
        states = [x := part(x) for part in self.stem.values()]
        states = (states * 2)[-self.n_inputs :]
        for block in self.blocks:
            states = [*states[1:], block(states)]
        logits: Tensor = self.classifier(self.pool(self.last(states[-1])).flatten(1))
        return logits
