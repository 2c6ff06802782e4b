"""`tune-nas inspect`: the properties of a genotype."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tune_nas.cli import bodies
from tune_nas.cli import shared_options as options
from tune_nas.cli.output import Format


def inspect(
    genotype: options.GenotypeText,
    space: options.Space = None,
    skeleton: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="thirds, stages, or imagenet (three convolutions of stride 2, then thirds).",
        ),
    ] = None,
    init_channels: Annotated[
        int | None,
        typer.Option(
            min=1, max=4096, help="Channels of the first cell; default: those of the space."
        ),
    ] = None,
    max_madds: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBER", help="Choose the channels: the most with so many multiply-adds, 600M."
        ),
    ] = None,
    cells: Annotated[
        int | None,
        typer.Option(min=1, max=1000, help="Cells (of a stage, where there are stages)."),
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option(
            min=1, max=4096, help="Side of the images, in pixels; default: 32, or 224 on ImageNet."
        ),
    ] = None,
    classes: Annotated[
        int | None,
        typer.Option(min=1, max=100_000, help="Number of classes; default: 10, or 1,000."),
    ] = None,
    draw: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the cells into a .svg or .png.")
    ] = None,
    storage: options.Storage = "runs",
    mlflow: options.Mlflow = None,
    output: options.OutputFormat = Format.TABLE,
) -> None:
    """Print a genotype's cells, its operations, its parameters and its multiply-adds."""
    bodies.inspecting.inspect(
        genotype,
        space,
        skeleton=skeleton,
        init_channels=init_channels,
        max_multiply_adds=max_madds,
        cells=cells,
        image_size=image_size,
        n_classes=classes,
        draw=draw,
        storage=storage,
        mlflow=mlflow,
        output=output,
    )
