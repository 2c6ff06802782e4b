"""A faster implementation of the mixed cell: equivalent, with the same parameters.

Work that is equal for all edges leaving a node is done once instead of per edge: the ReLU before
convolutions, pooling and the normalization after it, and the dense convolutions, whose kernels are
stacked. An operation's weight becomes the scale of its final batch normalization, so that neither
its output nor its gradient needs an extra pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tune_nas.layers.normalization import is_plain_norm, normalized, normalized_once, scaled
from tune_nas.layers.primitives import (
    FactorizedReduce,
    PointwiseConv,
    add,
    quarters,
    run_operation,
    zeros_after,
)
from tune_nas.layers.structure import Convolutions, Pool, Pooling, Structure, structure_of
from tune_nas.spaces.backbone import join
from tune_nas.spaces.mixed_cell import MixedCell, halved
from tune_nas.spaces.weights import CellWeights


class Sum:
    """A sum accumulated in place, since no gradient needs the value of a term."""

    def __init__(self) -> None:
        self._total: Tensor | None = None
        self._numbers: list[Tensor] = []

    def add(self, term: Tensor, scale: Tensor | None = None) -> None:
        """Add scale · term, or the term itself."""
        if self._total is None:
            self._total = term.clone() if scale is None else scale * term
        elif scale is None:
            self._total = self._total.add_(term)
        else:  # not in place, as `torch.func.vmap` would run it per supernet
            self._total = torch.addcmul(self._total, term, scale)

    def update(self, of: Callable[[Tensor | None], Tensor]) -> None:
        """Let a function add to the sum in place; it receives None if there is no sum yet."""
        self._total = of(self._total)

    def add_number(self, number: Tensor) -> None:
        """Add a scalar () to every value."""
        self._numbers.append(number)

    def total(self, zeros: Callable[[], Tensor]) -> Tensor:
        """Return the sum; it starts from zeros of its shape if all terms are scalars."""
        total = zeros() if self._total is None else self._total
        return total.add_(add(self._numbers)) if self._numbers else total


class Source:
    """A node and the shared work of its outgoing edges in one pass.

    Args:
        cell: The cell.
        place: The index of the node.
        whole: Its value (n, channels, h, w).
        halves: With partial channels, the channels that its edges process and the others, if they
            were already split.
        scales: The weight of each operation, by row and column.
        active: Which operations run, by row and column; None for all.
    """

    def __init__(
        self,
        cell: FastCell,
        place: int,
        whole: Tensor,
        halves: Sequence[Tensor] | None,
        scales: Sequence[Sequence[Tensor]],
        active: list[list[bool]] | None,
    ) -> None:
        self.cell, self.whole, self._active = cell, whole, active
        self.part = whole
        if cell.groups > 1:  # split once: joins the gradients of all edges once, in one layout
            self.part, self.rest = halves or cell.split(whole)
        self.rows = [row for row, edge in enumerate(cell.cell.edges) if edge.source == place]
        self.how, self.scales = cell.how, scales
        self._relu: Tensor | None = None
        self._shared: dict[tuple[str, str], Tensor] = {}
        self._stacked: dict[tuple[int, int], Tensor] = {}
        self.reductions: dict[tuple[int, int], Tensor] = {}

    def add_to(self, total: Sum, row: int, draws: torch.Generator | None, dropout: float) -> None:
        """Add all operations of an edge, scaled by their weights."""
        for column, how in enumerate(self.how[row]):
            if how == "none" or not self.runs(row, column):
                continue
            operation, scale = self.cell.operations_of(row)[column], self.scales[row][column]
            if how == "dense":
                total.add(self._dense(row, column))
            elif how == "normed":
                layers = self.cell.convolutions(row, column)
                total.add(normalized(layers.norm, layers.before_norm(self.relu), scale))
            elif how == "reduce":
                norm = _norm(cast(FactorizedReduce, operation).norm)
                total.add(normalized(norm, _reduced(self, row, column), scale))
            elif how == "pool":
                self.add_pool(total, row, column, scale)
            elif how == "normed pool":
                self._add_normed_pool(total, row, column, scale)
            else:
                total.add(run_operation(operation, self.part, draws, dropout), scale)

    @cached_property
    def around(self) -> Tensor:
        """The channels that bypass the operations of the outgoing edges."""
        return halved(self.rest, self.cell.strides[self.rows[0]])

    @property
    def relu(self) -> Tensor:
        """The node after ReLU."""
        if self._relu is None:
            self._relu = F.relu(self.part)
        return self._relu

    def runs(self, row: int, column: int) -> bool:
        """Return whether an operation runs in this pass."""
        return self._active is None or self._active[row][column]

    def alike(self, row: int, column: int) -> list[tuple[int, int]]:
        """Return the positions, among all outgoing edges, of operations equal to this one."""
        name = self.cell.cell.operations[row][column]
        return [
            (other, place)
            for other in self.rows
            for place, known in enumerate(self.cell.cell.operations[other])
            if known == name and self.runs(other, place)
        ]

    def add_pool(self, total: Sum, row: int, column: int, scale: Tensor) -> None:
        """Add the pooling at a position, without normalization."""
        total.add(self.pooled(row, column), scale)

    def pooled(self, row: int, column: int) -> Tensor:
        """Return the node pooled by the pooling at a position, without normalization."""
        key = (self.cell.cell.operations[row][column], "pool")
        if key not in self._shared:
            self._shared[key] = self.pool(self.cell.pooling(row, column).pool)
        return self._shared[key]

    def pool(self, module: Pool) -> Tensor:
        """Return the pooled node."""
        out: Tensor = module(self.part)
        return out

    def _add_normed_pool(self, total: Sum, row: int, column: int, scale: Tensor) -> None:
        norm = _norm(self.cell.pooling(row, column).norm)
        if norm.affine or (not norm.training and norm.track_running_stats):
            total.add(normalized(norm, self.pooled(row, column), scale))
            return
        key = (self.cell.cell.operations[row][column], "normed")
        if key not in self._shared:
            norms = [_norm(self.cell.pooling(*place).norm) for place in self.alike(row, column)]
            self._shared[key] = self.normed_pool(norms, row, column)
        total.add(self._shared[key], scale)

    def normed_pool(self, norms: Sequence[nn.BatchNorm2d], row: int, column: int) -> Tensor:
        """Return the pooling at a position, normalized by each of the norms."""
        return normalized_once(norms, self.pooled(row, column))

    def _dense(self, row: int, column: int) -> Tensor:
        """Return a normalized and scaled dense convolution; all of the node are computed as one."""
        if (row, column) not in self._stacked:
            places = self.alike(row, column)
            layers = [self.cell.convolutions(*place) for place in places]
            convolutions = [layer.stages[0].dense for layer in layers]
            kernel = torch.cat([convolution.weight for convolution in convolutions])
            scale = torch.stack([self.scales[other][place] for other, place in places])
            out = F.conv2d(self.relu, kernel, padding=convolutions[0].padding)
            norms = [layer.norm for layer in layers]
            scale, shift = scaled(norms, scale.repeat_interleave(self.cell.width))
            out = F.batch_norm(out, None, None, scale, shift, True, 0.0, norms[0].eps)
            chunks = torch.split(out, self.cell.width, dim=1)
            self._stacked.update(zip(places, chunks, strict=True))
        return self._stacked[row, column]


def _reduced(source: Source, row: int, column: int) -> Tensor:
    """Return a factorized reduction without its normalization; all of the node are one."""
    if (row, column) not in source.reductions:
        places = source.alike(row, column)
        layers = [
            cast(FactorizedReduce, source.cell.operations_of(other)[place])
            for other, place in places
        ]
        straight, shifted = quarters(source.relu)
        halves = [
            _by_one(straight, [layer.straight for layer in layers]),
            _by_one(shifted, [layer.shifted for layer in layers]),
        ]
        outputs = [torch.cat(pair, dim=1) for pair in zip(*halves, strict=True)]
        source.reductions.update(zip(places, outputs, strict=True))
    return source.reductions[row, column]


class FastCell(MixedCell):
    """`MixedCell`, reorganized; equal up to rounding, with the same state dict.

    The structure of an operation determines how it is run; operations of unknown structure run as
    in the plain implementation.
    """

    source_type: ClassVar[type[Source]] = Source
    sum_type: ClassVar[type[Sum]] = Sum

    @cached_property
    def structures(self) -> list[list[Structure | None]]:
        """The structure of each operation of each edge; None for an opaque one."""
        return [
            [structure_of(operation) for operation in self.operations_of(row)]
            for row in range(len(self.cell.edges))
        ]

    def convolutions(self, row: int, column: int) -> Convolutions:
        """Return the structure of an operation that consists of convolutions."""
        return cast(Convolutions, self.structures[row][column])

    def pooling(self, row: int, column: int) -> Pooling:
        """Return the structure of an operation that is a pooling."""
        return cast(Pooling, self.structures[row][column])

    @cached_property
    def how(self) -> list[list[str]]:
        """How each operation of each edge is run."""
        return [
            [
                _how(operation, structure) if runs else "none"
                for operation, structure, runs in zip(
                    self.operations_of(row), self.structures[row], self.runs[row], strict=True
                )
            ]
            for row in range(len(self.cell.edges))
        ]

    def split(self, whole: Tensor) -> Sequence[Tensor]:
        """Return the channels of a node that its edges process, and those that bypass them."""
        return torch.split(whole, [self.width, whole.shape[1] - self.width], dim=1)

    def shuffled(self, through: Tensor, around: Tensor, is_source: bool) -> Sequence[Tensor]:
        """Return a node with partial channels.

        Args:
            through: The sum of the operations of its edges.
            around: The sum of the channels that bypass them.
            is_source: Whether edges start at it; if so, it may be followed by what `split` returns.
        """
        return [torch.channel_shuffle(torch.cat([through, around], dim=1), self.groups)]

    def forward(
        self,
        inputs: Sequence[Tensor],
        weights: CellWeights,
        draws: torch.Generator | None = None,
        skip_dropout: float = 0.0,
        drop_path: float = 0.0,
        parts: list[Tensor] | None = None,
    ) -> Tensor:
        """Map the input nodes to the cell's output; see `MixedCell.forward`.

        With drop path, each edge has a separate sum; otherwise a node is one sum.

        Args:
            inputs: As there, likewise all others.
            weights: Mixing weights.
            draws: Generator.
            skip_dropout: Dropout on identities.
            drop_path: Probability of dropping an image.
            parts: If given, the parts of the output along the channels are appended to it; they are
                not joined, and the last of them is returned.
        """
        betas = None if weights.edges is None else weights.edges.unbind()
        active = None if weights.active is None else weights.active.tolist()
        dropout = skip_dropout if self.training else 0.0
        kept = self.draw_kept(inputs[0], draws, drop_path)
        # by views: indexing with a list would copy an index to the device in each pass
        scales = [
            (row if betas is None else betas[index] * row).unbind()
            for index, row in enumerate(weights.operations.unbind())
        ]
        nodes = list(inputs)
        halves: dict[int, Sequence[Tensor]] = {}
        sources: list[Source] = []
        for node in self.cell.nodes:
            for place in range(len(sources), len(nodes)):
                of_place = nodes[place], halves.get(place)
                sources.append(self.source_type(self, place, *of_place, scales, active))
            through, around = self.sum_type(), self.sum_type()
            rows = self.cell.incoming(node)
            present = [row for row in rows if active is None or any(active[row])]
            for row in present:
                source = sources[self.cell.edges[row].source]
                total = through if kept is None else self.sum_type()
                source.add_to(total, row, draws, dropout)
                if weights.offsets is not None:
                    offset = weights.offsets[row]
                    total.add_number(offset if betas is None else betas[row] * offset)
                if kept is not None:
                    zeros = partial(zeros_after, source.part, self.strides[row])
                    through.add(total.total(zeros) * kept[row])
                if self.groups > 1:
                    rest = source.around if kept is None else source.around * kept[row]
                    around.add(rest, None if betas is None else betas[row])
            last = sources[self.cell.edges[rows[-1]].source]
            stride = self.strides[rows[-1]]
            if not present:
                nodes.append(zeros_after(last.whole, stride))
                continue
            node_sum = through.total(partial(zeros_after, last.part, stride))
            if self.groups > 1:
                rest = around.total(partial(torch.zeros_like, node_sum))
                place = len(nodes)
                is_source = any(edge.source == place for edge in self.cell.edges)
                node_sum, *halves[place] = self.shuffled(node_sum, rest, is_source)
            nodes.append(node_sum)
        if parts is not None:
            parts += nodes[self.cell.n_inputs :] if self.cell.output == "concat" else nodes[-1:]
            return nodes[-1]
        return join(nodes, self.cell)


def _by_one(x: Tensor, layers: Sequence[nn.Conv2d]) -> Sequence[Tensor]:
    """Return the outputs of pointwise convolutions of x (n, channels, h, w), computed as one."""
    out = F.conv2d(x, torch.cat([layer.weight for layer in layers]))
    return torch.split(out, [layer.out_channels for layer in layers], dim=1)


def _norm(module: nn.Module | None) -> nn.BatchNorm2d:
    return cast(nn.BatchNorm2d, module)


def _how(operation: nn.Module, structure: Structure | None) -> str:
    """Return how an operation is run: its kind of structure, or ``as it is``."""
    if isinstance(operation, FactorizedReduce) and is_plain_norm(operation.norm):
        return "reduce"
    if isinstance(structure, Pooling):
        return "pool" if structure.norm is None else "normed pool"
    if isinstance(structure, Convolutions):
        return "dense" if _is_dense(structure) else "normed"
    return "as it is"


def _is_dense(structure: Convolutions) -> bool:
    """Return whether it is one dense convolution of stride 1 with only batch statistics."""
    if len(structure.stages) != 1:
        return False
    (stage,) = structure.stages
    convolution = stage.dense
    return (
        stage.depthwise is None
        and type(convolution) in (nn.Conv2d, PointwiseConv)
        and convolution.groups == 1
        and convolution.bias is None
        and convolution.dilation == (1, 1)
        and convolution.stride == (1, 1)
        and getattr(convolution, "step", 1) == 1
        and not structure.norm.track_running_stats
    )
