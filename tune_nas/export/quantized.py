"""Export of a trained network as an ONNX file in int8, if it is accurate enough."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from tune_nas.data import DataSource, ImageSet, load_data
from tune_nas.errors import ConfigError, DataError, ExportError
from tune_nas.export.draft import check_packages, kept_if_accepted
from tune_nas.export.export import check_file
from tune_nas.export.export_format import Exportable, Run
from tune_nas.export.onnx_file import OnnxFile
from tune_nas.export.onnx_quantization import SCHEME, add_metadata, quantize_onnx, sample
from tune_nas.export.processor import Processor, this_processor
from tune_nas.export.trained_network import TrainedNetwork
from tune_nas.seeds import make_generator

CALIBRATION_IMAGES = 256
"""Number of training images, at most, from which the ranges of the activations are taken."""

MAX_ACCURACY_DROP = 5.0
"""Largest accepted drop of the test accuracy, in percentage points, by default."""

_TO = "onnx"
_NEEDED = "int8 needs the images that the network was trained on"
_BATCH_SIZE = 256


@dataclass(frozen=True)
class Quantization:
    """A network in int8, compared with the same network as a float ONNX file.

    Args:
        float_accuracy: Test accuracy of the float file in ONNX Runtime, in percent.
        accuracy: Test accuracy of the int8 file in ONNX Runtime, in percent.
        other_accuracies: The same in other runtimes that are installed, by name.
        test_images: Number of test images.
        calibration_images: Number of training images from which the ranges were taken.
        difference: Largest difference of a logit between the two files on the test images.
        processor: The processor on which this was measured.
    """

    float_accuracy: float
    accuracy: float
    other_accuracies: Mapping[str, float]
    test_images: int
    calibration_images: int
    difference: float
    processor: Processor

    def metadata(self) -> dict[str, str]:
        """Return the texts that are stored in the file."""
        return {
            "quantization": SCHEME,
            "calibration_images": str(self.calibration_images),
            "accuracy_images": str(self.test_images),
            "float_accuracy": str(self.float_accuracy),
            "int8_accuracy": str(self.accuracy),
            "int8_accuracy_elsewhere": json.dumps(self.other_accuracies),
            "int8_largest_difference": str(self.difference),
            "quantized_on": str(self.processor),
        }


def export_quantized(
    trained: TrainedNetwork,
    path: str | Path,
    *,
    normalizes: bool = False,
    run: str = "",
    max_accuracy_drop: float = MAX_ACCURACY_DROP,
) -> Quantization:
    """Write a trained network as an ONNX file in int8.

    The float file is compared with torch first. The ranges of the activations are those of a seeded
    sample of the training images of the run. The file is kept if its accuracy on the test images of
    the run is at most a bound below that of the float file.

    Args:
        trained: The network.
        path: The file; an existing one is replaced.
        normalizes: Whether the written network normalizes: it takes images in [0, 1].
        run: Name of the run that trained it, for the metadata.
        max_accuracy_drop: The bound, in percentage points.

    Returns:
        The accuracies.

    Raises:
        ConfigError: If the bound is not in [0, 100].
        ExportError: If a package or the images of the run are missing, ONNX cannot represent the
            network, the folder cannot be written to, or the accuracy drops by more than the bound.
    """
    if not 0 <= max_accuracy_drop <= 100:
        raise ConfigError(
            f"`max_accuracy_drop` is {max_accuracy_drop:g}, but must be between 0 and 100 points"
        )
    form, path = OnnxFile(), Path(path)
    check_packages(form, _TO)
    network = Exportable.of(trained, normalizes=normalizes, run=run)
    data = _images(trained)
    generator = make_generator(trained.trial.seed, "calibration")
    positions = sample(torch.arange(len(data.train)), CALIBRATION_IMAGES, generator)
    chosen = data.train.select(positions).images
    with kept_if_accepted(path, form, _TO) as draft:
        source = draft.with_name("float.onnx")
        form.write(network, source)
        check_file(network, form, source, _TO)
        quantize_onnx(source, draft, network.input_of(chosen))
        report = _compared(network, form, source, draft, data.test, len(chosen))
        _check(report, max_accuracy_drop)
        add_metadata(draft, {**network.metadata(), **report.metadata()})
    return report


def _images(trained: TrainedNetwork) -> DataSource:
    """Return the images of the run.

    Raises:
        ExportError: If they cannot be read, or are no longer those of the run.
    """
    trial = trained.trial
    cpu = torch.device("cpu")
    try:
        data = load_data(trial.data, seed=trial.seed, device=cpu, for_search=False)
    except (ConfigError, DataError) as error:
        raise ExportError(f"{_NEEDED}: {error}") from error
    found = (data.n_classes, data.in_channels, data.image_size)
    own = (len(trained.data.classes), trained.data.in_channels, trained.data.image_size)
    if found != own:
        raise ExportError(
            f"{_NEEDED}: classes, channels and pixels are now {found}, but the network has {own}"
        )
    return data


def _compared(
    network: Exportable, form: OnnxFile, source: Path, path: Path, test: ImageSet, n: int
) -> Quantization:
    """Return the accuracies of the float and the int8 file."""
    before, after = form.read(source, network), form.read(path, network)
    others = form.other_runtimes(path, network)
    logits, labels = _logits(network, [before, after, *others.values()], test)
    float_accuracy, accuracy, *elsewhere = (_accuracy(each, labels) for each in logits)
    return Quantization(
        float_accuracy=float_accuracy,
        accuracy=accuracy,
        other_accuracies=dict(zip(others, elsewhere, strict=True)),
        test_images=len(labels),
        calibration_images=n,
        difference=float((logits[1] - logits[0]).abs().max()),
        processor=this_processor(),
    )


def _logits(
    network: Exportable, runs: Sequence[Run], images: ImageSet
) -> tuple[list[Tensor], Tensor]:
    """Return the logits (n, classes) of each run, and the labels (n,), of images read once."""
    logits: list[list[Tensor]] = [[] for _ in runs]
    labels: list[Tensor] = []
    for positions in torch.split(torch.arange(len(images)), _BATCH_SIZE):
        batch = images.select(positions)
        labels.append(batch.labels)
        x = network.input_of(batch.images)
        for own, run in zip(logits, runs, strict=True):
            own.append(run(x))
    return [torch.cat(each) for each in logits], torch.cat(labels)


def _accuracy(logits: Tensor, labels: Tensor) -> float:
    return 100 * int((logits.argmax(1) == labels).sum()) / len(labels)


def _check(report: Quantization, bound: float) -> None:
    """Check that int8 logits are finite and that the accuracy drops by at most a bound."""
    if not math.isfinite(report.difference):
        raise ExportError("int8 has logits that are not finite; nothing was kept")
    for runtime, accuracy in {"": report.accuracy, **report.other_accuracies}.items():
        drop = report.float_accuracy - accuracy
        if drop > bound:
            where = f" in {runtime}" if runtime else ""
            raise ExportError(
                f"int8{where} has a test accuracy of {accuracy:.2f} %, {drop:.2f} points below "
                f"float ({report.float_accuracy:.2f} %, {report.test_images} images), but "
                f"`max_accuracy_drop` is {bound:g}; nothing was kept"
            )
