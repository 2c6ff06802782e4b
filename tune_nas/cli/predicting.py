"""The work of `tune-nas predict`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from tune_nas.cli.output import Format, print_json
from tune_nas.cli.tables import print_table
from tune_nas.sweep.runs.store_uri import existing_store
from tune_nas.sweep.trained import load_network


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
    network = load_network(run, storage, existing_store(storage, mlflow))
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
