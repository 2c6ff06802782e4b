"""The work of `tune-nas export`."""

from __future__ import annotations

from pathlib import Path

from tune_nas.cli.output import Format, echo, print_json
from tune_nas.cli.trained_runs import trained_of
from tune_nas.errors import ConfigError
from tune_nas.export.export import export_network, find_format
from tune_nas.paths import expanded
from tune_nas.sweep.trained import newest_network


def export(
    run: str,
    to: str,
    file: str | None,
    *,
    normalize: bool,
    storage: str,
    mlflow: str | None,
    output: Format,
) -> None:
    """Write the network of a retraining run and print the paths of its files."""
    form = find_format(to)
    trained = trained_of(run, storage, mlflow)
    path = Path(trained.label + form.suffix) if file is None else expanded(file)
    if path.suffix != form.suffix:
        raise ConfigError(f"--output is '{path}', but must end in {form.suffix} for {to}")
    for taken in (path, *form.extra_files(path)):
        if taken.exists():
            raise ConfigError(f"--output: '{taken}' exists already; name another file")
    difference = export_network(
        newest_network(trained), path, to, normalizes=normalize, run=trained.name
    )
    files = [str(each) for each in (path, *form.extra_files(path))]
    if output is Format.JSON:
        print_json({"files": files, "difference": difference})
        return
    echo(f"{', '.join(files)} written; largest difference from torch's logits: {difference:.1e}")
