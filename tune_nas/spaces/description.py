"""The YAML model of a space."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from tune_nas.config import Cells, Channels, Count, Layout, Section
from tune_nas.spaces.operation_registry import check_operation, operation_kind
from tune_nas.spaces.own_operations import is_imported, load_operation
from tune_nas.spaces.skeletons import SKELETONS, Skeleton
from tune_nas.text import brief, shown

Names = Annotated[list[str], Field(min_length=1)]


class CellDescription(Section):
    """One type of cell.

    Args:
        inputs: Input nodes, numbered from 0.
        nodes: Number of intermediate nodes, up to 100; they are numbered after the inputs.
        edges: ``all`` (every node to every later intermediate node) or a list, e.g. ``["0->2"]``.
        operations: The operations of all edges, or a mapping from each edge to its operations.
        output: ``concat`` (all intermediate nodes concatenated) or ``last`` (the last one).
        inputs_per_node: Number of edges that a genotype keeps into a node; None for all.
        excluded: Operations that a genotype never has.
    """

    inputs: Literal[1, 2]
    nodes: Annotated[int, Field(ge=1, le=100)]
    edges: Literal["all"] | Names = "all"
    operations: Names | dict[str, Names]
    output: Literal["concat", "last"]
    inputs_per_node: Count | None = None
    excluded: tuple[str, ...] = ()

    @field_validator("operations", "edges", "excluded", mode="before")
    @classmethod
    def _no_text_for_a_list(cls, value: object) -> object:
        """Raise a one-line error; that of the union has one line per alternative."""
        if value != "all" and not isinstance(value, list | tuple | Mapping):
            raise ValueError(f"must be a list, not {shown(value)}")
        return value

    @model_validator(mode="after")
    def _operations_exist(self) -> CellDescription:
        lists = self.operations.values() if isinstance(self.operations, dict) else [self.operations]
        for names in [*lists, list(self.excluded)]:
            for name in names:
                check_operation(name)
                if is_imported(name):
                    load_operation(name)
            if len(set(names)) < len(names):
                raise ValueError(f"operation named twice in [{', '.join(names)}]")
        for names in lists:
            if set(names) <= set(self.excluded):
                raise ValueError(f"all of [{', '.join(names)}] are excluded, so nothing is left")
        if all(operation_kind(name) == "none" for names in lists for name in names):
            raise ValueError("all operations are 'none', so that nothing reaches the output")
        return self

    @model_validator(mode="after")
    def _edges_are_legal(self) -> CellDescription:
        edges = self.edge_pairs()
        if len(set(edges)) < len(edges):
            raise ValueError("an edge is named twice")
        for node in range(self.inputs, self.inputs + self.nodes):
            if all(target != node for _, target in edges):
                raise ValueError(f"no edge leads to node {node}")
        if isinstance(self.operations, dict):
            named = [self._edge(text) for text in self.operations]
            for edge in edges:
                if edge not in named:
                    raise ValueError(f"operations of edge '{edge[0]}->{edge[1]}' are missing")
            for edge in named:
                if edge not in edges:
                    raise ValueError(f"operations are given for '{edge[0]}->{edge[1]}', no edge")
        return self

    def edge_pairs(self) -> list[tuple[int, int]]:
        """Return the edges as (source, target), ordered by target, then source."""
        if self.edges == "all":
            targets = range(self.inputs, self.inputs + self.nodes)
            return [(source, target) for target in targets for source in range(target)]
        edges = [self._edge(text) for text in self.edges]
        return sorted(edges, key=lambda edge: (edge[1], edge[0]))

    def operations_of(self, source: int, target: int) -> list[str]:
        """Return the operations of an edge."""
        if isinstance(self.operations, dict):
            by_edge = {self._edge(text): names for text, names in self.operations.items()}
            return by_edge[source, target]
        return self.operations

    def _edge(self, text: str) -> tuple[int, int]:
        match = re.fullmatch(r"\s*(\d+)\s*->\s*(\d+)\s*", text)
        if not match:
            raise ValueError(f"edge '{brief(text)}' must be written SOURCE->TARGET, as 0->2")
        source, target = int(match[1]), int(match[2])
        last = self.inputs + self.nodes - 1
        for node in (source, target):
            if node > last:
                raise ValueError(f"edge '{text}': there is no node {node}, the last one is {last}")
        if target < self.inputs:
            raise ValueError(f"edge '{text}': node {target} is an input")
        if source >= target:
            raise ValueError(f"edge '{text}': an edge must lead to a later node")
        return source, target


class SkeletonDescription(Section):
    """The network into which cells are stacked.

    Args:
        layout: ``thirds``: cells one after another, ``reduction`` ones at 1/3 and 2/3 (DARTS);
            ``stages``: three stages of ``cells`` cells, residual reductions between them
            (NAS-Bench-201); ``imagenet``: as ``thirds``, after three convolutions of stride 2.
        init_channels: Channels of the first cell; doubled at each reduction.
        cells: Number of cells; per stage in ``stages``.
        stem_multiplier: Ratio of the stem's channels to those of the first cell; unused by
            ``imagenet``.
    """

    layout: Layout
    init_channels: Channels = 16
    cells: Cells
    stem_multiplier: Annotated[int, Field(ge=1, le=64)] = 1

    @property
    def strategy(self) -> Skeleton:
        """The skeleton of this layout."""
        return SKELETONS[self.layout]


class SupernetDescription(Section):
    """The batch normalization in cells of the supernet, which may differ from the final network.

    Args:
        affine: Whether it learns scale and shift. Usually false: learned scales would undo α.
        track_running_stats: Whether evaluation uses running statistics or batch statistics.
        norm_after_pools: Whether it follows pooling (in the supernet only).
    """

    affine: bool = False
    track_running_stats: bool = True
    norm_after_pools: bool = False


class FinalDescription(Section):
    """The usual size of a final network, if it differs from the supernet.

    Args:
        init_channels: Channels of the first cell; None for the skeleton's.
        cells: Number of cells (per stage in ``stages``); None for the skeleton's.
    """

    init_channels: Channels | None = None
    cells: Cells | None = None


class SpaceDescription(Section):
    """A search space: its cells, the skeleton, the supernet's normalization, the final size."""

    name: Annotated[str, Field(min_length=1)]
    description: str = ""
    cells: dict[str, CellDescription]
    skeleton: SkeletonDescription
    supernet: SupernetDescription = SupernetDescription()
    final: FinalDescription = FinalDescription()

    @model_validator(mode="after")
    def _cells_fit_the_layout(self) -> SpaceDescription:
        layout = self.skeleton.layout
        needed = set(self.skeleton.strategy.cell_types)
        if set(self.cells) != needed:
            raise ValueError(
                f"layout '{layout}' has the cells {', '.join(sorted(needed))}, "
                f"but cells has {', '.join(self.cells) or 'none'}"
            )
        if layout == "stages":
            cell = self.cells["normal"]
            if cell.inputs != 1 or cell.output != "last":
                raise ValueError("layout 'stages' needs cells with inputs: 1 and output: last")
            if self.skeleton.stem_multiplier != 1:
                raise ValueError("layout 'stages' needs skeleton.stem_multiplier: 1")
        elif len({cell.inputs for cell in self.cells.values()}) > 1:
            raise ValueError("all cells must have the same number of inputs")
        strategy = self.skeleton.strategy
        for key, count in (("skeleton", self.skeleton.cells), ("final", self.final.cells)):
            absent = [] if count is None else strategy.absent_cells(count, self.cells)
            if absent:
                raise ValueError(
                    f"{key}.cells is {count}, with which the network has no {absent[0]} cell; "
                    f"layout '{layout}' needs at least 3"
                )
        return self
