"""The work of `tune-nas predict`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from tune_nas.cli.output import Format, print_json
from tune_nas.cli.tables import print_table
from tune_nas.cli.trained_runs import trained_of
from tune_nas.sweep.trained import newest_network


def predict(
    run: str,
    images: Sequence[str],
    *,
    top: int,
    storage: str,
    mlflow: str | None,
    output: Format,
) -> None:
    """Print the most probable classes of image files."""
    network = newest_network(trained_of(run, storage, mlflow))
    found = list(network.predict(images, top=top))
    if output is Format.JSON:
        print_json([asdict(prediction) for prediction in found])
        return
    rows = [
        {
            "image": each.image,
            **{
                f"class {place + 1}": f"{name} ({probability:.1%})"
                for place, (name, probability) in enumerate(
                    zip(each.classes, each.probabilities, strict=True)
                )
            },
        }
        for each in found
    ]
    print_table(list(rows[0]), rows)
