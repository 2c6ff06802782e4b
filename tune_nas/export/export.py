"""Export of a trained network: written, read back, and compared before it is kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from tune_nas.errors import ExportError
from tune_nas.export.draft import check_packages, kept_if_accepted
from tune_nas.export.export_format import Exportable, ExportFormat, Run
from tune_nas.export.trained_network import TrainedNetwork
from tune_nas.user_code import find_class

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
    check_packages(form, to)
    network = Exportable.of(trained, normalizes=normalizes, run=run)
    with kept_if_accepted(Path(path), form, to) as draft:
        form.write(network, draft)
        return check_file(network, form, draft, to)


def check_file(network: Exportable, form: ExportFormat, path: Path, to: str) -> float:
    """Return the largest difference between the logits of a network and of a written file.

    Args:
        network: The network.
        form: The format of the file.
        path: The file.
        to: The name of the format, for the message.

    Raises:
        ExportError: If it is larger than `TOLERANCE` in one of the format's runtimes.
    """
    differences = [check_logits(network, form.read(path, network), to)]
    for name, run in form.other_runtimes(path, network).items():
        differences.append(check_logits(network, run, f"{to} in {name}"))
    return max(differences)


def check_logits(network: Exportable, run: Run, to: str) -> float:
    """Return the largest difference between the logits of a network and of its written form.

    Args:
        network: The network.
        run: Runs the written form.
        to: The format, and the runtime if it has several, for the message.

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
