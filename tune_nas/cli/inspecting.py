"""The work of `tune-nas inspect`."""

from __future__ import annotations

from pathlib import Path

from tune_nas import figures
from tune_nas.cli.genotype_facts import STEM, GenotypeFacts, genotype_facts
from tune_nas.cli.genotype_reference import find_genotype
from tune_nas.cli.genotype_spaces import fit_to_space, space_of
from tune_nas.cli.output import Format, echo, print_json
from tune_nas.errors import ConfigError
from tune_nas.files import write_atomically
from tune_nas.spaces import CellGenotype, CellSpace, check_cells_occur

_LAYOUTS = {
    "thirds": "reduction cells at 1/3 and 2/3",
    "stages": "3 stages, a residual reduction between two",
}
_LARGE_IMAGE = 64  # pixels; for larger images papers use networks with another stem
_ON_LARGE_IMAGES = """\
Published ImageNet figures are not of this skeleton: their stem, three convolutions of stride 2,
reduces 224 pixels to 28 before the first cell. Here the first cell works on all pixels."""


def inspect(
    genotype: str,
    space: str | None,
    *,
    init_channels: int | None,
    cells: int | None,
    image_size: int,
    n_classes: int,
    draw: Path | None,
    storage: str,
    mlflow: str | None,
    output: Format,
) -> None:
    """Print the properties of a genotype, and draw it if a file is given.

    Raises:
        ConfigError: If the drawing is neither an SVG nor a PNG file.
    """
    if draw is not None and draw.suffix not in (".svg", ".png"):
        raise ConfigError(f"--draw is '{draw}', but must end in .svg or .png")
    source = find_genotype(genotype, storage, mlflow)
    described = space_of(source, space, storage, mlflow)
    found = fit_to_space(source, described)
    if cells is not None:
        check_cells_occur(described, cells, "--cells")
    facts = genotype_facts(
        found,
        described,
        init_channels=init_channels,
        cells=cells,
        image_size=image_size,
        n_classes=n_classes,
    )
    if draw is not None:
        drawing = figures.draw_cells(found, described)
        write_atomically(draw, figures.render(drawing, draw.suffix.removeprefix(".")))
    if output is Format.JSON:
        print_json(facts.to_dict())
    else:
        _print(facts)


def _print(facts: GenotypeFacts) -> None:
    space = facts.space
    for cell, found in facts.genotype.cells.items():
        echo(f"{cell} cell\n{_drawing(found, space.cells[cell])}\n")
    layout = space.skeleton.layout
    n_cells = "1 cell" if facts.cells == 1 else f"{facts.cells} cells"
    stages = " in each of 3 stages" if layout == "stages" else ""
    side = facts.image_size
    counts = [
        (
            name,
            ", ".join(f"{count[name]} {cell}" for cell, count in facts.by_cell.items())
            + f" cell; {total} in the network",
        )
        for name, total in facts.in_network.items()
    ]
    rows = [
        ("space", space.name),
        ("network", f"{facts.init_channels} channels, {n_cells}{stages}"),
        ("skeleton", f"{STEM}; {_LAYOUTS[layout]}"),
        ("images", f"{side} × {side}, {facts.n_classes} classes"),
        ("parameters", f"{facts.parameters:,}"),
        ("multiply-adds", f"{facts.multiply_adds:,}"),
        *counts,
    ]
    for name, value in rows:
        echo(f"{name:<14} {value}")
    if side > _LARGE_IMAGE:
        echo(f"\n{_ON_LARGE_IMAGES}")
    echo(f"\n{facts.genotype}")


def _drawing(found: CellGenotype, cell: CellSpace) -> str:
    """Return a line for each node: its incoming edges with their operations as arrows.

    Input nodes are named as papers do: the cell before is c_{k-1}, the one before it c_{k-2}.
    """
    names = {node: f"c_{{k-{cell.n_inputs - node}}}" for node in range(cell.n_inputs)}
    names |= {node: f"node {node}" for node in cell.nodes}
    width = max(len(name) for name in names.values())
    longest = max(len(edge.operation) for edge in found.edges)
    lines = []
    for node in cell.nodes:
        for edge in (edge for edge in found.edges if edge.target == node):
            arrow = f"── {edge.operation} {'─' * (longest - len(edge.operation))}─▶"
            lines.append(f"  {names[edge.source]:>{width}} {arrow} {names[node]}")
    kept = cell.nodes if cell.output == "concat" else cell.nodes[-1:]
    lines.append(f"  {' + '.join(names[node] for node in kept)} ─▶ c_{{k}}")
    return "\n".join(lines)
