"""The work of `tune-nas export`."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from tune_nas.cli.output import Format, echo, print_json
from tune_nas.errors import ConfigError
from tune_nas.export.export import export_network, find_format
from tune_nas.export.export_format import Exportable
from tune_nas.export.quantized import MAX_ACCURACY_DROP, export_quantized
from tune_nas.paths import expanded
from tune_nas.sweep.runs.store_uri import existing_store
from tune_nas.sweep.tracked_training import tracked_training
from tune_nas.sweep.trained import Trained, find_trained, newest_network
from tune_nas.tracking.logged_model import log_network
from tune_nas.tracking.store import without_password

_ONNX = "onnx"
_MLFLOW = "mlflow"  # not a file, but a model of the run


def export(
    run: str,
    to: str,
    file: str | None,
    *,
    normalize: bool,
    quantize: bool,
    max_accuracy_drop: float | None,
    storage: str,
    mlflow: str | None,
    output: Format,
) -> None:
    """Write the network of a retraining run and print the paths of its files."""
    if quantize and to != _ONNX:
        raise ConfigError(f"--quantize needs --to {_ONNX}, not --to {to}")
    if max_accuracy_drop is not None and not quantize:
        raise ConfigError(
            f"--max-accuracy-drop is {max_accuracy_drop:g}, but has no effect without --quantize"
        )
    if to == _MLFLOW:
        if file is not None:
            raise ConfigError(f"--output is '{file}', but --to mlflow writes no file; omit it")
        _log(run, normalize=normalize, storage=storage, mlflow=mlflow, output=output)
        return
    form = find_format(to, [_MLFLOW])
    trained = find_trained(run, storage, existing_store(storage, mlflow))
    label = f"{trained.label}-int8" if quantize else trained.label
    path = Path(_file_name(label, form.suffix)) if file is None else expanded(file)
    if path.suffix != form.suffix:
        raise ConfigError(f"--output is '{path}', but must end in {form.suffix} for {to}")
    for taken in (path, *form.extra_files(path)):
        if taken.exists():
            raise ConfigError(f"--output: '{taken}' exists already; name another file")
    if quantize:
        bound = MAX_ACCURACY_DROP if max_accuracy_drop is None else max_accuracy_drop
        _quantize(trained, path, normalize=normalize, bound=bound, output=output)
        return
    with _ended_by_term():
        difference = export_network(
            newest_network(trained), path, to, normalizes=normalize, run=trained.name
        )
    files = [str(each) for each in (path, *form.extra_files(path))]
    if output is Format.JSON:
        print_json({"files": files, "difference": difference})
        return
    echo(f"{', '.join(files)} written; largest difference from torch's logits: {difference:.1e}")


def _quantize(
    trained: Trained, path: Path, *, normalize: bool, bound: float, output: Format
) -> None:
    """Write the network in int8 and print its accuracy beside that of float."""
    with _ended_by_term():
        found = export_quantized(
            newest_network(trained),
            path,
            normalizes=normalize,
            run=trained.name,
            max_accuracy_drop=bound,
        )
    if output is Format.JSON:
        print_json({"files": [str(path)], **asdict(found)})
        return
    echo(
        f"{path} written; test accuracy in int8 {found.accuracy:.2f} %, in float "
        f"{found.float_accuracy:.2f} % ({found.test_images:,} images)"
    )
    for runtime, accuracy in found.other_accuracies.items():
        echo(f"test accuracy in int8 with {runtime}: {accuracy:.2f} %")
    echo(
        f"largest difference of a logit: {found.difference:.2f}; calibrated with "
        f"{found.calibration_images:,} training images; measured on {found.processor}"
    )


def _file_name(label: str, suffix: str) -> str:
    """Return the name of a file; a Python file can be imported by it."""
    return (re.sub(r"\W", "_", label) if suffix == ".py" else label) + suffix


@contextmanager
def _ended_by_term() -> Iterator[None]:
    """End the block by an exception on SIGTERM, so that temporary files are removed."""

    def end(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _log(run: str, *, normalize: bool, storage: str, mlflow: str | None, output: Format) -> None:
    """Log the network of a retraining run to its MLflow run and print how to load it."""
    trained = find_trained(run, storage, existing_store(storage, mlflow))
    store, tracked = tracked_training(trained, storage, mlflow)
    network = Exportable.of(newest_network(trained), normalizes=normalize, run=trained.name)
    model = log_network(store, tracked, network)
    uri = without_password(store.uri)
    if output is Format.JSON:
        print_json(
            {
                "model": model.uri,
                "name": model.name,
                "run": tracked.run_id,
                "store": uri,
                "difference": model.difference,
            }
        )
        return
    echo(
        f"{model.uri} ({model.name}) logged to run {tracked.run_id}; largest difference from "
        f"torch's logits: {model.difference:.1e}"
    )
    echo("Load it, without tune-nas, with:")
    echo("    import mlflow")
    echo(f'    mlflow.set_tracking_uri("{uri}")')
    echo(f'    network = mlflow.pytorch.load_model("{model.uri}")')
