"""`tune-nas predict` and `export`: commands that use the network of a retraining run."""

from __future__ import annotations

from typing import Annotated

import typer

from tune_nas.cli import bodies, completion
from tune_nas.cli import shared_options as options
from tune_nas.cli.output import Format

Run = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="A retraining run: its name, NAME/TRIAL, an MLflow run, or a checkpoint's folder.",
        autocompletion=completion.run_names,
    ),
]


def predict(
    run: Run,
    images: Annotated[list[str], typer.Argument(metavar="IMAGE...", help="Image files.")],
    top: Annotated[int, typer.Option(min=1, help="Number of classes per image.")] = 3,
    storage: options.Storage = "runs",
    mlflow: options.Mlflow = None,
    output: options.OutputFormat = Format.TABLE,
) -> None:
    """Classify images with the network of a retraining run."""
    bodies.predicting.predict(run, images, top=top, storage=storage, mlflow=mlflow, output=output)


def export(
    run: Run,
    to: Annotated[
        str,
        typer.Option(
            metavar="FORMAT",
            help="torch-export, onnx, safetensors, standalone (one Python file), mlflow (a model "
            "of the MLflow run), or module:Class.",
        ),
    ],
    file: Annotated[
        str | None,
        typer.Option(
            "--output", metavar="FILE", help="The file; in this folder, named like RUN, by default."
        ),
    ] = None,
    normalize: Annotated[
        bool,
        typer.Option("--normalize", help="Take images in [0, 1]: the network normalizes them."),
    ] = False,
    quantize: Annotated[
        bool,
        typer.Option(
            "--quantize",
            help="Write int8, for --to onnx: calibrated with training images, and compared with "
            "float on the test images.",
        ),
    ] = False,
    max_accuracy_drop: Annotated[
        float | None,
        typer.Option(
            metavar="POINTS",
            min=0,
            max=100,
            help="With --quantize: refuse a file whose test accuracy is lower than that of float "
            "by more percentage points. [default: 5]",
        ),
    ] = None,
    storage: options.Storage = "runs",
    mlflow: options.Mlflow = None,
    output: options.OutputFormat = Format.TABLE,
) -> None:
    """Write the network of a retraining run in another format, if it gives the same results."""
    bodies.exporting.export(
        run,
        to,
        file,
        normalize=normalize,
        quantize=quantize,
        max_accuracy_drop=max_accuracy_drop,
        storage=storage,
        mlflow=mlflow,
        output=output,
    )
