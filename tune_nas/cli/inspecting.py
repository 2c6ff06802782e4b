"""The work of `tune-nas inspect`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tune_nas import figures
from tune_nas.cli.genotype_facts import GenotypeFacts, genotype_facts
from tune_nas.cli.genotype_reference import find_genotype
from tune_nas.cli.genotype_spaces import fit_to_space, space_of
from tune_nas.cli.output import Format, echo, print_json
from tune_nas.errors import ConfigError
from tune_nas.files import write_atomically
from tune_nas.spaces import (
    CellGenotype,
    CellSpace,
    Genotype,
    Space,
    channels_under,
    check_cells_occur,
    check_channels,
)

if TYPE_CHECKING:
    from tune_nas.cli.proxy_scores import ProxyScores

Score = Callable[[Genotype, Space, int | None, int | None, int | None], "ProxyScores"]
"""Returns the proxies of a network, given its channels, its cells and the side of the images."""

_LARGE_IMAGE = 64  # pixels; for larger images papers use networks with another stem
_ON_LARGE_IMAGES = """\
Published ImageNet figures are not of this skeleton: their stem, three convolutions of stride 2,
reduces 224 pixels to 28 before the first cell (--skeleton imagenet). Here the first cell works on
all pixels."""


def inspect(
    genotype: str,
    space: str | None,
    *,
    skeleton: str | None,
    init_channels: int | None,
    max_multiply_adds: str | None,
    cells: int | None,
    image_size: int | None,
    n_classes: int | None,
    draw: Path | None,
    score: Score | None,
    storage: str,
    mlflow: str | None,
    output: Format,
) -> None:
    """Print the properties of a genotype, with its proxies if wanted; draw it if a file is given.

    Raises:
        ConfigError: If the drawing is neither an SVG nor a PNG file, or a proxy is unknown.
    """
    if draw is not None and draw.suffix not in (".svg", ".png"):
        raise ConfigError(f"--draw is '{draw}', but must end in .svg or .png")
    source = find_genotype(genotype, storage, mlflow)
    described = space_of(source, space, storage, mlflow)
    found = fit_to_space(source, described)
    if skeleton is not None:
        described = described.with_skeleton(skeleton)
    usual_side, usual_classes = described.skeleton.strategy.images
    side, classes = image_size or usual_side, n_classes or usual_classes
    check_channels(described, init_channels, "--init-channels")
    if cells is not None:
        check_cells_occur(described, cells, "--cells")
    if max_multiply_adds is not None:
        if init_channels is not None:
            raise ConfigError("--init-channels and --max-madds both set the channels; give one")
        bound = _count(max_multiply_adds)
        init_channels = channels_under(
            found, described, bound, image_size=side, n_classes=classes, cells=cells
        )
    facts = genotype_facts(
        found,
        described,
        init_channels=init_channels,
        cells=cells,
        image_size=side,
        n_classes=classes,
    )
    scores = None if score is None else score(found, described, init_channels, cells, image_size)
    if draw is not None:
        drawing = figures.draw_cells(found, described)
        write_atomically(draw, figures.render(drawing, draw.suffix.removeprefix(".")))
    if output is Format.JSON:
        added = {} if scores is None else {"proxies": scores.to_dict()}
        print_json(facts.to_dict() | added)
    else:
        _print(facts)
        if scores is not None:
            echo(f"\n{scores}")


def _count(text: str) -> int:
    """Return a number that may end in K, M or G.

    Raises:
        ConfigError: If it is not one.
    """
    factor = {"K": 10**3, "M": 10**6, "G": 10**9}.get(text[-1:].upper(), 1)
    try:
        found = round(float(text if factor == 1 else text[:-1]) * factor)
    except (ValueError, OverflowError):
        found = 0
    if found < 1:
        raise ConfigError(f"--max-madds is '{text}', but must be a number >= 1, e.g. 600M")
    return found


def _print(facts: GenotypeFacts) -> None:
    space = facts.space
    for cell, found in facts.genotype.cells.items():
        echo(f"{cell} cell\n{_drawing(found, space.cells[cell])}\n")
    strategy = space.skeleton.strategy
    n_cells = "1 cell" if facts.cells == 1 else f"{facts.cells} cells"
    stages = " in each of 3 stages" if strategy.by_stage else ""
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
        ("skeleton", f"{strategy.stem}; {strategy.stack}"),
        ("images", f"{side} × {side}, {facts.n_classes} classes"),
        ("parameters", f"{facts.parameters:,}"),
        ("multiply-adds", f"{facts.multiply_adds:,}"),
        *counts,
    ]
    for name, value in rows:
        echo(f"{name:<14} {value}")
    if side > _LARGE_IMAGE and not strategy.halvings:
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
