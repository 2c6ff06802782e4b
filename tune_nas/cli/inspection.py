"""`tune-nas inspect`: the properties of a genotype."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from tune_nas.cli import bodies
from tune_nas.cli import shared_options as options
from tune_nas.cli.output import Format
from tune_nas.cli.proxy_options import proxy_options

_PROXIES = "Training-free proxies"


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
    proxies: Annotated[
        bool,
        typer.Option("--proxies", help="Add the training-free proxies.", rich_help_panel=_PROXIES),
    ] = False,
    proxy: Annotated[
        list[str] | None,
        typer.Option(
            "--proxy",
            metavar="NAME",
            help="Only this proxy, also module:Class; repeatable.",
            show_default="all",
            rich_help_panel=_PROXIES,
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Data set of the proxies' images, which decides their size and classes.",
            show_default="digits",
            rich_help_panel=_PROXIES,
        ),
    ] = None,
    data_dir: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Directory with the data set's files.",
            rich_help_panel=_PROXIES,
        ),
    ] = None,
    storage: options.Storage = "runs",
    mlflow: options.Mlflow = None,
    output: options.OutputFormat = Format.TABLE,
) -> None:
    """Print a genotype's cells, its operations, its parameters and its multiply-adds."""
    chosen = proxy_options(proxies, proxy or (), data, data_dir)
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
        score=None if chosen is None else partial(bodies.proxy_scores.proxy_scores, chosen),
        storage=storage,
        mlflow=mlflow,
        output=output,
    )
