"""The architecture of a final network as plain data, from its genotype, space and sizes."""

from __future__ import annotations

from tune_nas.export.plain_network import Architecture, Block, Cell
from tune_nas.spaces import Genotype, Space
from tune_nas.spaces.backbone import BlockPlan, plan_blocks


def architecture_of(
    genotype: Genotype,
    space: Space,
    *,
    n_classes: int,
    in_channels: int,
    image_size: int,
    init_channels: int | None,
    cells: int | None,
) -> Architecture:
    """Return the architecture that `build_network` builds with the same arguments.

    Args:
        genotype: The architecture of the cells.
        space: Its space.
        n_classes: Number of classes.
        in_channels: Channels of the images.
        image_size: Height and width of the images, in pixels.
        init_channels: Channels of the first cell; None for the space's usual final size.
        cells: Number of cells (per stage in the layout ``stages``); None likewise.

    Raises:
        GenotypeError: If the space does not contain the genotype.
    """
    genotype.check(space)
    usual_channels, usual_cells = space.final_size
    channels = usual_channels if init_channels is None else init_channels
    cells = usual_cells if cells is None else cells
    blocks = plan_blocks(space, channels, cells)
    strategy = space.skeleton.strategy
    return Architecture(
        in_channels=in_channels,
        n_classes=n_classes,
        stem_channels=blocks[0].inputs[-1][0],
        out_channels=blocks[-1].width,
        has_bridges=strategy.has_bridges,
        stem_halves=strategy.halvings > 0,
        cells={name: _cell(genotype, space, name) for name in space.cells},
        blocks=_blocks(blocks, strategy.sides(cells, image_size)),
    )


def operations_in(architecture: Architecture) -> set[str]:
    """Return the names of the operations of an architecture, without ``none``."""
    names = {edge[2] for cell in architecture.cells.values() for edge in cell.edges}
    return names - {"none"}


def _cell(genotype: Genotype, space: Space, name: str) -> Cell:
    cell = space.cells[name]
    edges = tuple((e.source, e.target, e.operation) for e in genotype.cells[name].edges)
    return Cell(cell.n_inputs, len(cell.nodes), cell.output == "concat", edges)


def _blocks(plans: list[BlockPlan], sides: list[int]) -> tuple[Block, ...]:
    blocks = []
    for plan, side in zip(plans, sides[:-1], strict=True):
        odd = plan.cell is None and side % 2 == 1
        blocks.append(Block(plan.cell or "", plan.channels, plan.reduction, plan.inputs, odd))
    return tuple(blocks)
