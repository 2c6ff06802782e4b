"""Export of a trained network: written, read back, and compared before it is kept."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from tune_nas.errors import ExportError, TuneNasError
from tune_nas.export.export_format import Exportable, ExportFormat, Run
from tune_nas.export.trained_network import TrainedNetwork
from tune_nas.user_code import find_class, said

TOLERANCE = 1e-4
"""Largest difference of a logit."""

_BATCHES = (1, 2, 5)  # sizes of the batches that are compared; one is not that of the example


def find_format(name: str, others: Sequence[str] = ()) -> ExportFormat:
    """Return an export format by its name, or by ``module:Class``.

    Args:
        name: The name.
        others: Further names that the caller accepts, for the message.

    Raises:
        ConfigError: If there is none of this name.
    """
    found: type[ExportFormat] = find_class("to", name, ExportFormat, others)
    return found()


def export_network(
    trained: TrainedNetwork,
    path: str | Path,
    to: str,
    *,
    normalizes: bool = False,
    run: str = "",
) -> float:
    """Write a trained network in another format.

    The file is written under a temporary name, read back and run on random images; it gets its name
    only if the logits agree with torch's.

    Args:
        trained: The network.
        path: The file; an existing one is replaced.
        to: The format: ``torch-export``, ``onnx``, ``safetensors``, ``standalone`` or
            ``module:Class``.
        normalizes: Whether the written network normalizes: it takes images in [0, 1].
        run: Name of the run that trained it, for the metadata.

    Returns:
        The largest difference of a logit.

    Raises:
        ConfigError: If the format is unknown.
        ExportError: If a package is missing, the format cannot represent the network, the folder
            cannot be written to, or the logits differ by more than `TOLERANCE`.
    """
    form = find_format(to)
    missing = [name for name in form.packages if importlib.util.find_spec(name) is None]
    if missing:
        raise ExportError(
            f"{to} needs {', '.join(missing)}, not installed here: pip install 'tune-nas[export]'"
        )
    network = Exportable.of(trained, normalizes=normalizes, run=run)
    path = Path(path)
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as folder:
            draft = Path(folder) / path.name
            form.write(network, draft)
            difference = check_logits(network, form.read(draft, network), to)
            # the main file last: it is only there when all of its parts are
            for extra in form.extra_files(draft):
                shutil.move(extra, path.parent / extra.name)
            shutil.move(draft, path)
    except TuneNasError:
        raise
    except OSError as error:
        raise ExportError(f"'{path}' cannot be written: {error.strerror or error}") from error
    except Exception as error:  # of a custom format, or of what a runtime cannot represent
        raise ExportError(
            f"{to} cannot represent this network: {type(error).__name__}: {said(error)}"
        ) from error
    return difference


def check_logits(network: Exportable, run: Run, to: str) -> float:
    """Return the largest difference between the logits of a network and of its written form.

    Args:
        network: The network.
        run: Runs the written form.
        to: The format, for the message.

    Raises:
        ExportError: If it is larger than `TOLERANCE`.
    """
    difference = compare(network, run)
    if not difference <= TOLERANCE:
        raise ExportError(
            f"{to}: logits of the written file differ from torch's by {difference:.1e}, "
            f"but must by at most {TOLERANCE:.0e}; nothing was kept"
        )
    return difference


def compare(network: Exportable, run: Run) -> float:
    """Return the largest difference between the logits of a network and of its written form.

    Args:
        network: The network.
        run: Runs the written form.

    Returns:
        The difference; infinite if a shape differs or a value is not finite.
    """
    worst = 0.0
    for n in _BATCHES:
        images = network.examples(n)
        with torch.no_grad():
            expected, found = network.network(images), run(images)
        if found.shape != expected.shape or not bool(torch.isfinite(found).all()):
            return float("inf")
        worst = max(worst, float((found - expected).abs().max()))
    return worst
