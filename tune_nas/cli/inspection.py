"""`tune-nas inspect`: the properties of a genotype."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tune_nas.cli import shared_options as options
from tune_nas.cli.genotypes import find_genotype, fit_to_space, space_of
from tune_nas.cli.output import Format, echo, print_json
from tune_nas.errors import ConfigError
from tune_nas.files import write_atomically

if TYPE_CHECKING:
    from tune_nas.spaces import CellSpace, Genotype, Space

# Kinds of operations, with their names in the output; noise is counted if the space has it.
_KINDS = {"convolution": "convolutions", "skip": "skips", "pool": "pools", "noise": "noises"}

_STEM = "one 3 × 3 convolution of stride 1, as for CIFAR-10"
_LAYOUTS = {
    "thirds": "reduction cells at 1/3 and 2/3",
    "stages": "3 stages, a residual reduction between two",
}
_LARGE_IMAGE = 64  # pixels; for larger images papers use networks with another stem
_ON_LARGE_IMAGES = """\
Published ImageNet figures are not of this skeleton: their stem, three convolutions of stride 2,
reduces 224 pixels to 28 before the first cell. Here the first cell works on all pixels."""


def inspect(
    genotype: Annotated[
        str,
        typer.Argument(
            metavar="GENOTYPE|FILE|RUN",
            help="A genotype as text, a published name, a number of NAS-Bench-201, a file "
            "(FILE:NAME where it has several), or a run.",
        ),
    ],
    space: options.Space = None,
    init_channels: Annotated[
        int | None,
        typer.Option(
            min=1, max=4096, help="Channels of the first cell; the space's usual if none."
        ),
    ] = None,
    cells: Annotated[
        int | None,
        typer.Option(min=1, max=1000, help="Cells (of a stage, where there are stages)."),
    ] = None,
    image_size: Annotated[
        int, typer.Option(min=1, max=4096, help="Side of the images, in pixels.")
    ] = 32,
    classes: Annotated[int, typer.Option(min=1, max=100_000, help="Number of classes.")] = 10,
    draw: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the cells into a .svg or .png.")
    ] = None,
    storage: options.Storage = "runs",
    mlflow: options.Mlflow = None,
    output: options.OutputFormat = Format.TABLE,
) -> None:
    """Print a genotype's cells, its operations, its parameters and its multiply-adds."""
    from tune_nas.spaces import check_cells_occur

    if draw is not None and draw.suffix not in (".svg", ".png"):
        raise ConfigError(f"--draw is '{draw}', but must end in .svg or .png")
    source = find_genotype(genotype, storage, mlflow)
    described = space_of(source, space, storage, mlflow)
    found = fit_to_space(source, described)
    if cells is not None:
        check_cells_occur(described, cells, "--cells")
    facts = _facts(
        found,
        described,
        init_channels=init_channels,
        cells=cells,
        image_size=image_size,
        n_classes=classes,
    )
    if draw is not None:
        from tune_nas.figures import draw_cells, render

        drawing = render(draw_cells(found, described), draw.suffix.removeprefix("."))
        write_atomically(draw, drawing)
    if output is Format.JSON:
        print_json(facts)
    else:
        _print(facts, described)


def _facts(
    genotype: Genotype,
    space: Space,
    *,
    init_channels: int | None,
    cells: int | None,
    image_size: int,
    n_classes: int,
) -> dict[str, Any]:
    from tune_nas.spaces import model_size

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
    return {
        "space": space.name,
        "genotype": str(genotype),
        "init_channels": init_channels or usual_channels,
        "cells": n_cells,
        "skeleton": space.skeleton.layout,
        "stem": _STEM,
        "image_size": image_size,
        "classes": n_classes,
        "parameters": size.parameters,
        "multiply_adds": size.multiply_adds,
        **{name: genotype.count(kind) for kind, name in kinds.items()},
        "by_cell": {
            cell: {name: genotype.count(kind, cell) for kind, name in kinds.items()}
            for cell in genotype.cells
        },
        "in_network": _counts_in_network(genotype, space, n_cells, kinds),
        "edges": {
            cell: [
                {"source": edge.source, "target": edge.target, "operation": edge.operation}
                for edge in found.edges
            ]
            for cell, found in genotype.cells.items()
        },
    }


def _kinds_in(space: Space) -> dict[str, str]:
    from tune_nas.spaces.operation_registry import operation_kind

    named = {name for cell in space.cells.values() for row in cell.operations for name in row}
    noisy = any(operation_kind(name) == "noise" for name in named)
    return {kind: name for kind, name in _KINDS.items() if noisy or kind != "noise"}


def _counts_in_network(
    genotype: Genotype, space: Space, n_cells: int, kinds: dict[str, str]
) -> dict[str, int]:
    """Count the operations of each kind in all cells of the network."""
    from tune_nas.spaces.skeleton import plan

    stack = [place.cell for place in plan(space.skeleton.layout, 1, n_cells) if place.cell]
    return {name: sum(genotype.count(kind, cell) for cell in stack) for kind, name in kinds.items()}


def _print(facts: dict[str, Any], space: Space) -> None:
    for cell, edges in facts["edges"].items():
        echo(f"{cell} cell\n{_drawing(edges, space.cells[cell])}\n")
    n_cells = "1 cell" if facts["cells"] == 1 else f"{facts['cells']} cells"
    stages = " in each of 3 stages" if space.skeleton.layout == "stages" else ""
    side, by_cell = facts["image_size"], facts["by_cell"]
    counts = [
        (
            name,
            ", ".join(f"{count[name]} {cell}" for cell, count in by_cell.items())
            + f" cell; {facts['in_network'][name]} in the network",
        )
        for name in facts["in_network"]
    ]
    rows = [
        ("space", facts["space"]),
        ("network", f"{facts['init_channels']} channels, {n_cells}{stages}"),
        ("skeleton", f"{facts['stem']}; {_LAYOUTS[facts['skeleton']]}"),
        ("images", f"{side} × {side}, {facts['classes']} classes"),
        ("parameters", f"{facts['parameters']:,}"),
        ("multiply-adds", f"{facts['multiply_adds']:,}"),
        *counts,
    ]
    for name, value in rows:
        echo(f"{name:<14} {value}")
    if side > _LARGE_IMAGE:
        echo(f"\n{_ON_LARGE_IMAGES}")
    echo(f"\n{facts['genotype']}")


def _drawing(edges: list[dict[str, Any]], cell: CellSpace) -> str:
    """Return a line for each node: its incoming edges with their operations as arrows.

    Input nodes are named as papers do: the cell before is c_{k-1}, the one before it c_{k-2}.
    """
    names = {node: f"c_{{k-{cell.n_inputs - node}}}" for node in range(cell.n_inputs)}
    names |= {node: f"node {node}" for node in cell.nodes}
    width = max(len(name) for name in names.values())
    longest = max(len(edge["operation"]) for edge in edges)
    lines = []
    for node in cell.nodes:
        for edge in (edge for edge in edges if edge["target"] == node):
            arrow = f"── {edge['operation']} {'─' * (longest - len(edge['operation']))}─▶"
            lines.append(f"  {names[edge['source']]:>{width}} {arrow} {names[node]}")
    kept = cell.nodes if cell.output == "concat" else cell.nodes[-1:]
    lines.append(f"  {' + '.join(names[node] for node in kept)} ─▶ c_{{k}}")
    return "\n".join(lines)
