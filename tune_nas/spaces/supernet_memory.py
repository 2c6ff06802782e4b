"""Estimate of what a pass of a supernet keeps for its backward pass, by implementation.

`NetworkEstimate.kept` is a lower bound, which no implementation keeps less than. This is close to
what one does keep, for a dry run: `benchmarks/memory.py` compares it with the memory of processes.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import nn

from tune_nas.layers.primitives import FactorizedReduce
from tune_nas.layers.structure import Convolutions, Pooling, structure_of
from tune_nas.seeds import building
from tune_nas.spaces.backbone import BlockPlan, make_block, make_stem, plan_blocks
from tune_nas.spaces.operation_registry import build_operation, operation_kind
from tune_nas.spaces.recomputation import peak_kept, recomputed_blocks
from tune_nas.spaces.space import CellSpace, Space
from tune_nas.spaces.supernet import supernet_norm

_INDICES = {
    "plain": 2.0,
    "torch": 2.0,
    "fast": 0.25,
}  # of max pooling: int64, or a byte, of float32


def estimate_kept(
    space: Space,
    *,
    implementation: str,
    in_channels: int,
    image_size: int,
    init_channels: int | None = None,
    cells: int | None = None,
    partial_channels: int = 1,
    share: float = 1.0,
    recompute: bool = False,
) -> float:
    """Return the number of values per image that a pass of a supernet keeps, about.

    Custom operations count as one output.

    Args:
        space: The space.
        implementation: ``plain``, ``torch`` or ``fast``.
        in_channels: Channels of the images.
        image_size: Side of the images, in pixels.
        init_channels: Channels of the first cell; None for the space's default.
        cells: Number of cells (per stage in the layout ``stages``); None for the space's default.
        partial_channels: K of the supernet.
        share: Share of the operations of an edge that run.
        recompute: Whether cells are recomputed.
    """
    skeleton = space.skeleton
    blocks = plan_blocks(space, init_channels or skeleton.init_channels, cells or skeleton.cells)
    cell = cache(_Cells(space, implementation, partial_channels, share).kept)
    side = skeleton.strategy.stem_side(image_size)
    outside, inside = list[float](), list[float]()
    with building(), torch.device("meta"):
        first = blocks[0]
        channels = first.channels // 2 if first.reduction else first.channels
        # each convolution's output, and that of its normalization
        stem = 2.0 * _outputs(make_stem(space, in_channels, channels)) * side**2
        for block in blocks:
            before = side
            side = math.ceil(side / 2) if block.reduction else side
            if block.cell is None:
                made = make_block(space, block, lambda *_: nn.Identity(), nn.BatchNorm2d)
                outside.append(2.0 * _outputs(made) * side**2)
                inside.append(0.0)
            else:
                outside.append(_bridges(space, block, implementation) * before**2)
                at_input, at_output = cell(block.cell, block.channels, block.reduction)
                inside.append(at_input * before**2 + at_output * side**2)
    outside[0] += stem
    again = recomputed_blocks(blocks) if recompute else [False] * len(blocks)
    return peak_kept(outside, inside, again)


def _outputs(module: nn.Module) -> int:
    return sum(part.out_channels for part in module.modules() if isinstance(part, nn.Conv2d))


def _bridges(space: Space, block: BlockPlan, implementation: str) -> float:
    """Return what is kept outside of a cell, in channels at the size of its inputs."""
    if not space.skeleton.strategy.has_bridges:
        return float(block.inputs[0][0])
    own = 2.0 * len(block.inputs) * block.channels  # of each, its convolution and its output
    if implementation == "fast":  # the kernels read the nodes of earlier cells, which are kept
        return own
    # ReLU of an output that two cells read is kept once, or by each
    sizes = [channels * (4 if larger else 1) for channels, larger in block.inputs]
    read = sum(sizes) if implementation == "plain" else sizes[-1]
    shifted = sum(size for size, (_, larger) in zip(sizes, block.inputs, strict=True) if larger)
    return read + shifted + own


class _Cells:
    """What the cells of a space keep.

    Args:
        space: The space.
        form: The implementation.
        partial_channels: K.
        share: Share of the operations of an edge that run.
    """

    def __init__(self, space: Space, form: str, partial_channels: int, share: float) -> None:
        self._space, self._form = space, form
        self._partial, self._share = partial_channels, share
        self._norm = supernet_norm(space)

    def kept(self, name: str, channels: int, reduction: bool) -> tuple[float, float]:
        """Return what a cell keeps, in channels at the size of its inputs and of its output."""
        cell, width = self._space.cells[name], channels // self._partial * self._share
        at_input, at_output = 0.0, float(channels * self._kept_nodes(cell))
        seen = set[tuple[int, str]]()  # shared by the edges from a node
        for edge, names in zip(cell.edges, cell.operations, strict=True):
            halves = reduction and edge.source < cell.n_inputs
            for operation in names:
                before, after, shared = self._operation(operation, channels, 2 if halves else 1)
                for kind, size in shared.items():
                    key = (edge.source, kind)
                    if self._form == "plain" or key not in seen:
                        before += size if kind == "relu" else 0.0
                        after += 0.0 if kind == "relu" else size
                    seen.add(key)
                at_input += width * (before if halves else 0.0)
                at_output += width * (after + (0.0 if halves else before))
        return at_input, at_output

    def _kept_nodes(self, cell: CellSpace) -> int:
        """Return the number of intermediate nodes that an edge leaves, or a bridge reads."""
        if self._form == "fast" and self._space.skeleton.strategy.has_bridges:
            return len(cell.nodes)
        sources = {edge.source for edge in cell.edges}
        return len([node for node in cell.nodes if node in sources])

    def _operation(
        self, name: str, channels: int, stride: int
    ) -> tuple[float, float, dict[str, float]]:
        """Return what is kept before and after the stride, and what its source shares by kind."""
        plain, fast = self._form == "plain", self._form == "fast"
        if operation_kind(name) == "none":
            return 0.0, 0.0, {}
        operation = build_operation(name, channels, stride, self._norm)
        structure = structure_of(operation)
        if isinstance(structure, Convolutions) and structure.stages:
            n = len(structure.stages)
            if fast:
                return 0.0, float(n), {}
            separable = sum(stage.depthwise is not None for stage in structure.stages)
            return 0.0, n + separable + (n - 1) + float(plain), {"relu": 1.0}
        if isinstance(operation, FactorizedReduce):
            # only there, the half that starts at (1, 1) is padded, and thereby copied
            return float(plain), 1.0 + float(plain), {"relu": 1.0}
        if isinstance(structure, Pooling):
            normed = self._space.supernet.norm_after_pools
            indices = _INDICES[self._form] if isinstance(structure.pool, nn.MaxPool2d) else 0.0
            return 0.0, 0.0, {name: indices + 1.0 + (1.0 if normed and not fast else 0.0)}
        return 0.0, 0.0 if isinstance(operation, nn.Identity) else 1.0, {}
