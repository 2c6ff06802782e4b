"""`tune-nas inspect`: what a genotype is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tune_nas.cli import options
from tune_nas.cli.output import Format, print_json, print_table
from tune_nas.errors import ConfigError, GenotypeError

if TYPE_CHECKING:
    from tune_nas.config import TrialConfig
    from tune_nas.spaces import CellSpace, Genotype, Space

_KINDS = {"convolution": "convolutions", "skip": "skips", "pool": "pools"}
_LONGEST_PATH = 4096


def inspect(
    genotype: Annotated[
        str,
        typer.Argument(
            metavar="GENOTYPE|FILE|RUN", help="A genotype as text, its file, or an MLflow run."
        ),
    ],
    space: options.Space = None,
    init_channels: Annotated[
        int | None, typer.Option(min=1, help="Channels of the first cell; the space's own if none.")
    ] = None,
    cells: Annotated[
        int | None, typer.Option(min=1, help="Cells (of a stage, where there are stages).")
    ] = None,
    image_size: Annotated[int, typer.Option(min=1, help="Side of the images, in pixels.")] = 32,
    classes: Annotated[int, typer.Option(min=1, help="Number of classes.")] = 10,
    draw: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the cells into a .svg or .png.")
    ] = None,
    storage: options.Storage = "runs",
    mlflow: options.Mlflow = None,
    output: options.OutputFormat = Format.TABLE,
) -> None:
    """Print a genotype's cells, its operations, its parameters and its multiply-adds."""
    from tune_nas.spaces import load_space

    if draw is not None and draw.suffix not in (".svg", ".png"):
        raise ConfigError(f"--draw is '{draw}', but must end in .svg or .png")
    found = find_genotype(genotype, storage, mlflow).genotype
    described = load_space(space or found.space)
    found.check(described)
    facts = _facts(
        found,
        described,
        init_channels=init_channels,
        cells=cells,
        image_size=image_size,
        n_classes=classes,
    )
    if draw is not None:
        from tune_nas.tracking import draw_cells

        draw_cells(found, described).savefig(draw, bbox_inches="tight")
    if output is Format.JSON:
        print_json(facts)
    else:
        _print(facts, found, described)


@dataclass(frozen=True)
class Found:
    """A genotype and where it comes from.

    Args:
        name: Short name of the source, fit for a file name.
        run_id: The MLflow run that found it; None if it is not from a run.
        trial: That run's trial, None if it is not from a run.
    """

    genotype: Genotype
    name: str
    run_id: str | None = None
    trial: TrialConfig | None = None


def find_genotype(text: str, storage: str, mlflow: str | None) -> Found:
    """Return the genotype that a file holds, that a text is, or that an MLflow run found.

    Raises:
        GenotypeError: If it is none of them, or no genotype.
        StorageError: If there is no such run.
    """
    from tune_nas.spaces import Genotype

    if len(text) < _LONGEST_PATH and Path(text).is_file():
        return Found(Genotype.load(Path(text)), Path(text).stem)
    if any(sign in text for sign in "(|\n:"):  # no name of a run has one of these
        return Found(Genotype.parse(text), "genotype")
    return _of_run(text, options.mlflow_uri(mlflow, storage))


def _of_run(name: str, uri: str) -> Found:
    import yaml

    from tune_nas.config import TrialConfig
    from tune_nas.library import dotted_keys, with_overrides
    from tune_nas.spaces import Genotype
    from tune_nas.tracking import Tracker

    database = uri.removeprefix("sqlite:///")
    if database != uri and not Path(database).is_file():
        raise GenotypeError(f"'{name}' is neither a genotype nor a file, and there are no runs yet")
    tracker = Tracker(uri, create=False)
    run = tracker.find_run(name)
    text = tracker.read_artifact(run.run_id, "genotype.yaml").decode()
    keys = set(dotted_keys(TrialConfig))
    values = {key: yaml.safe_load(value) for key, value in run.parameters.items() if key in keys}
    trial = with_overrides({}, values, where=f"the trial of run '{name}'")
    return Found(Genotype.parse(text), run.name.replace(" ", "-"), run.run_id, trial)


def _facts(
    genotype: Genotype,
    space: Space,
    *,
    init_channels: int | None,
    cells: int | None,
    image_size: int,
    n_classes: int,
) -> dict[str, Any]:
    from tune_nas.spaces import build_network, count_multiply_adds, count_parameters

    network = build_network(
        genotype, space, n_classes=n_classes, init_channels=init_channels, cells=cells
    )
    return {
        "space": space.name,
        "genotype": str(genotype),
        "init_channels": init_channels or space.skeleton.init_channels,
        "cells": cells or space.skeleton.cells,
        "image_size": image_size,
        "classes": n_classes,
        "parameters": count_parameters(network),
        "multiply_adds": count_multiply_adds(network, image_size),
        "operations": {
            cell: [
                {"source": edge.source, "target": edge.target, "operation": edge.operation}
                for edge in found.edges
            ]
            for cell, found in genotype.cells.items()
        },
    }


def _print(facts: dict[str, Any], genotype: Genotype, space: Space) -> None:
    for cell, described in space.cells.items():
        typer.echo(f"{cell} cell\n{_drawing(facts['operations'][cell], described)}\n")
    rows = [
        ("space", facts["space"]),
        ("size", f"{facts['init_channels']} channels, {facts['cells']} cells"),
        ("images", f"{facts['image_size']} × {facts['image_size']}, {facts['classes']} classes"),
        ("parameters", f"{facts['parameters']:,}"),
        ("multiply-adds", f"{facts['multiply_adds']:,}"),
    ]
    print_table(["what", "value"], [{"what": what, "value": value} for what, value in rows])
    typer.echo(facts["genotype"])


def _drawing(edges: list[dict[str, Any]], cell: CellSpace) -> str:
    """Return the cell's edges as arrows, one a line, and where its output comes from."""
    width = max(len(edge["operation"]) for edge in edges)
    lines = [
        f"  {edge['source']} ── {edge['operation']} {'─' * (width - len(edge['operation']))}─▶ "
        f"{edge['target']}"
        for edge in sorted(edges, key=lambda edge: (edge["target"], edge["source"]))
    ]
    return "\n".join(lines)
