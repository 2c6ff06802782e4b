"""The size of a genotype's network and the counts of its operations."""

from __future__ import annotations

from dataclasses import dataclass

from tune_nas.spaces import Genotype, Space, model_size
from tune_nas.spaces.operation_registry import operation_kind

# Kinds of operations, with their names in the output; noise is counted if the space has it.
_KINDS = {"convolution": "convolutions", "skip": "skips", "pool": "pools", "noise": "noises"}


@dataclass(frozen=True)
class GenotypeFacts:
    """The properties of a genotype.

    Args:
        genotype: The genotype.
        space: Its space.
        init_channels: Channels of the first cell.
        cells: Number of cells, of a stage if the skeleton has stages.
        image_size: Side of the images in pixels.
        n_classes: Number of classes.
        parameters: Number of parameters of the network.
        multiply_adds: Number of multiply-adds for an image.
        by_cell: Number of operations of each kind in each type of cell.
        in_network: Number of operations of each kind in all cells of the network.
    """

    genotype: Genotype
    space: Space
    init_channels: int
    cells: int
    image_size: int
    n_classes: int
    parameters: int
    multiply_adds: int
    by_cell: dict[str, dict[str, int]]
    in_network: dict[str, int]

    def to_dict(self) -> dict[str, object]:
        """Return the facts as plain containers for JSON."""
        return {
            "space": self.space.name,
            "genotype": str(self.genotype),
            "init_channels": self.init_channels,
            "cells": self.cells,
            "skeleton": self.space.skeleton.layout,
            "stem": self.space.skeleton.strategy.stem,
            "image_size": self.image_size,
            "classes": self.n_classes,
            "parameters": self.parameters,
            "multiply_adds": self.multiply_adds,
            **{
                name: sum(counts[name] for counts in self.by_cell.values())
                for name in self.in_network
            },
            "by_cell": self.by_cell,
            "in_network": self.in_network,
            "edges": {
                cell: [
                    {"source": edge.source, "target": edge.target, "operation": edge.operation}
                    for edge in found.edges
                ]
                for cell, found in self.genotype.cells.items()
            },
        }


def genotype_facts(
    genotype: Genotype,
    space: Space,
    *,
    init_channels: int | None,
    cells: int | None,
    image_size: int,
    n_classes: int,
) -> GenotypeFacts:
    """Return the properties of a genotype.

    Args:
        genotype: The genotype.
        space: Its space.
        init_channels: Channels of the first cell; None for the space's usual number.
        cells: Number of cells; None for the space's usual number.
        image_size: Side of the images in pixels.
        n_classes: Number of classes.
    """
    size = model_size(
        genotype,
        space,
        image_size=image_size,
        n_classes=n_classes,
        init_channels=init_channels,
        cells=cells,
    )
    usual_channels, usual_cells = space.final_size
    n_cells = cells or usual_cells
    kinds = _kinds_in(space)
    return GenotypeFacts(
        genotype=genotype,
        space=space,
        init_channels=init_channels or usual_channels,
        cells=n_cells,
        image_size=image_size,
        n_classes=n_classes,
        parameters=size.parameters,
        multiply_adds=size.multiply_adds,
        by_cell={
            cell: {name: genotype.count(kind, cell) for kind, name in kinds.items()}
            for cell in genotype.cells
        },
        in_network=_counts_in_network(genotype, space, n_cells, kinds),
    )


def _kinds_in(space: Space) -> dict[str, str]:
    named = {name for cell in space.cells.values() for row in cell.operations for name in row}
    noisy = any(operation_kind(name) == "noise" for name in named)
    return {kind: name for kind, name in _KINDS.items() if noisy or kind != "noise"}


def _counts_in_network(
    genotype: Genotype, space: Space, n_cells: int, kinds: dict[str, str]
) -> dict[str, int]:
    """Count the operations of each kind in all cells of the network."""
    stack = [place.cell for place in space.skeleton.strategy.plan(1, n_cells) if place.cell]
    return {name: sum(genotype.count(kind, cell) for cell in stack) for kind, name in kinds.items()}
