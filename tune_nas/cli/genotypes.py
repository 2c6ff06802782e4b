"""`tune-nas inspect`: what a genotype is."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tune_nas.cli import options
from tune_nas.cli.output import Format, echo, print_json
from tune_nas.errors import ConfigError, GenotypeError
from tune_nas.paths import is_file, is_uri

if TYPE_CHECKING:
    from tune_nas.config import TrialConfig
    from tune_nas.spaces import CellSpace, Genotype, Space
    from tune_nas.sweep.records import Record

# Of operations, with what the command calls them; noise is counted where a space has it.
_KINDS = {"convolution": "convolutions", "skip": "skips", "pool": "pools", "noise": "noises"}


def inspect(
    genotype: Annotated[
        str,
        typer.Argument(
            metavar="GENOTYPE|FILE|RUN", help="A genotype as text, its file, or an MLflow run."
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
    from tune_nas.spaces import check_cells_occur, load_space

    if draw is not None and draw.suffix not in (".svg", ".png"):
        raise ConfigError(f"--draw is '{draw}', but must end in .svg or .png")
    found = find_genotype(genotype, storage, mlflow).genotype
    described = load_space(space or found.space)
    found.check(described)
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
        from tune_nas.tracking import draw_cells, render

        draw.write_bytes(render(draw_cells(found, described), draw.suffix.removeprefix(".")))
    if output is Format.JSON:
        print_json(facts)
    else:
        _print(facts, described)


@dataclass(frozen=True)
class Found:
    """A genotype and where it comes from.

    Args:
        name: Short name of the source, fit for a file name.
        run_id: The MLflow run that found it; None if it is not named by one.
        sweep: The sweep in the storage that found it; empty if it is not named by one.
        record: Its search in that sweep.
    """

    genotype: Genotype
    name: str
    run_id: str | None = None
    sweep: str = ""
    record: Record | None = None


def find_genotype(text: str, storage: str, mlflow: str | None) -> Found:
    """Return the genotype that a file or URI holds, that a text is, or that an MLflow run found.

    Raises:
        GenotypeError: If it is none of them, or no genotype.
        StorageError: If there is no such run.
    """
    from tune_nas.spaces import Genotype

    if any(sign in text for sign in ("Genotype(", "|", "\n")):  # it is the genotype itself
        return Found(Genotype.parse(text), "genotype")
    if is_file(text):
        return Found(Genotype.load(text), Path(text).stem)
    if is_uri(text):
        return Found(Genotype.parse(_read_uri(text)), Path(text).stem)
    return _of_record(text, storage) or _of_run(text, options.mlflow_uri(mlflow, storage))


def _read_uri(uri: str) -> str:
    from tune_nas.sweep.storage import Storage

    folder, _, name = uri.rpartition("/")
    content = Storage(folder).read(name)
    if content is None:
        raise GenotypeError(f"{uri}: there is no such file")
    return content


def _of_record(name: str, storage: str) -> Found | None:
    from tune_nas.spaces import Genotype
    from tune_nas.sweep.origin import find_record

    record = find_record(name, storage)
    if record is None:
        return None
    if record.genotype is None:
        raise GenotypeError(f"'{name}' has no genotype yet")
    short, sweep = name.replace("/", "-"), name.partition("/")[0]
    return Found(Genotype.parse(record.genotype), short, sweep=sweep, record=record)


def _of_run(name: str, uri: str) -> Found:
    from tune_nas.spaces import Genotype
    from tune_nas.tracking import Tracker

    if not options.exists(uri):
        raise GenotypeError(f"'{name}' is neither a genotype nor a file, and there are no runs yet")
    tracker = Tracker(uri, create=False)
    run = tracker.find_run(name)
    text = tracker.read_artifact(run.run_id, "genotype.yaml").decode()
    short = re.sub(r"[^\w.=+-]+", "-", run.name).strip("-.")
    return Found(Genotype.parse(text), short, run.run_id)


def trial_of(found: Found, storage: str, mlflow: str | None) -> TrialConfig | None:
    """Return the trial that found a genotype; None if it is from no run.

    Raises:
        StorageError: If the run has none.
        ConfigError: If this version does not know a key of it.
    """
    if found.run_id is None and found.record is None:
        return None
    from tune_nas.config import TrialConfig
    from tune_nas.library import validate
    from tune_nas.tracking import Tracker
    from tune_nas.yaml_text import parse_yaml

    if found.record is not None:
        settings = found.record.job.trial
    else:
        tracker = Tracker(options.mlflow_uri(mlflow, storage), create=False)
        artifact = tracker.read_artifact(str(found.run_id), "parameters.yaml")
        settings = parse_yaml(artifact.decode())
    return validate(TrialConfig, settings, f"the trial of '{found.name}'")


def run_of(found: Found, storage: str, mlflow: str | None) -> str | None:
    """Return the MLflow run that found a genotype; None if there is none, or no MLflow."""
    if found.record is None:
        return found.run_id
    from tune_nas.errors import StorageError
    from tune_nas.tracking import Tracker

    with suppress(StorageError):  # the genotype is known without it
        uri = options.mlflow_uri(mlflow, storage)
        for run in Tracker(uri, create=False).list_runs() if options.exists(uri) else []:
            if (run.sweep, run.trial_id) == (found.sweep, found.record.job.id):
                return run.run_id
    return None


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
    from tune_nas.spaces.registry import operation_kind

    named = {name for cell in space.cells.values() for row in cell.operations for name in row}
    noisy = any(operation_kind(name) == "noise" for name in named)
    return {kind: name for kind, name in _KINDS.items() if noisy or kind != "noise"}


def _counts_in_network(
    genotype: Genotype, space: Space, n_cells: int, kinds: dict[str, str]
) -> dict[str, int]:
    """Count the operations of each kind in all cells of the network together."""
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
        ("images", f"{side} × {side}, {facts['classes']} classes"),
        ("parameters", f"{facts['parameters']:,}"),
        ("multiply-adds", f"{facts['multiply_adds']:,}"),
        *counts,
    ]
    for name, value in rows:
        echo(f"{name:<14} {value}")
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
