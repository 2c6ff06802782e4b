"""A trained network, loaded from a checkpoint of a retraining run, and its predictions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from tune_nas.checkpoint import load_state, taking
from tune_nas.checkpoint_folder import fetched
from tune_nas.config import DataConfig, TrialConfig
from tune_nas.data import load_data
from tune_nas.data.decode import read_image
from tune_nas.data.imagenet_folder import read_test_image
from tune_nas.errors import CheckpointError, DataError, TuneNasError
from tune_nas.export.architecture import architecture_of, operations_in
from tune_nas.export.plain_network import OPERATIONS, Architecture, Operations, PlainNetwork
from tune_nas.library import stored_trial
from tune_nas.retrain import STATE_FILE
from tune_nas.retrain.data_summary import DataSummary
from tune_nas.retrain.retrain_checks import final_space
from tune_nas.spaces import Genotype
from tune_nas.spaces.operation_registry import build_operation

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
_PLAIN_STEM = re.compile(r"^stem\.(\d)")
_AUXILIARY, _BACKBONE = "auxiliary.", "backbone."


@dataclass(frozen=True)
class Prediction:
    """The most probable classes of an image.

    Args:
        image: The image's path.
        classes: Names of the classes, the most probable first.
        probabilities: Their probabilities.
    """

    image: str
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]


class TrainedNetwork(nn.Module):
    """A trained network in evaluation mode, made of torch's own layers.

    Attributes:
        network: The network, a `PlainNetwork`.
        architecture: Its architecture as plain data.
        operations: The functions that build its operations, by name.
        genotype: The genotype of its cells.
        trial: The trial of the retraining run.
        data: Class names, image size and normalization of its images.
        metrics: The metrics of the last completed epoch, e.g. ``test_accuracy``. If the checkpoint
            has averaged weights (``retrain.ema_decay``), the network has them, and
            ``test_accuracy`` is theirs.
    """

    def __init__(
        self,
        architecture: Architecture,
        genotype: Genotype,
        trial: TrialConfig,
        data: DataSummary,
        metrics: Mapping[str, float],
    ) -> None:
        super().__init__()
        own = {name: _builder(name) for name in operations_in(architecture) - OPERATIONS.keys()}
        self.operations: Operations = {**OPERATIONS, **own}
        self.network = PlainNetwork(architecture, build=self.operations)
        self.architecture = architecture
        self.genotype = genotype
        self.trial = trial
        self.data = data
        self.metrics = dict(metrics)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (n, n_classes) of normalized images (n, in_channels, h, w)."""
        logits: Tensor = self.network(x)
        return logits

    def normalize(self, images: Tensor) -> Tensor:
        """Return normalized images.

        Args:
            images: (n, in_channels, h, w), uint8, or floating-point in [0, 1].
        """
        like = next(self.parameters())
        values = images.to(like) / 255 if images.dtype == torch.uint8 else images.to(like)
        mean, std = (
            like.new_tensor(each).view(-1, 1, 1) for each in (self.data.mean, self.data.std)
        )
        return (values - mean) / std

    def read_images(self, paths: Sequence[str | Path]) -> Tensor:
        """Read image files as the network needs them: (n, in_channels, h, w), normalized.

        Images are resized to the network's image size, as test images of ``imagenet`` are if it was
        trained on them, else as those of ``folder``.
        For a network with one channel they become gray.

        Raises:
            DataError: If a file cannot be read, or the network has neither one nor three channels.
        """
        config = self.trial.data.model_copy(update={"resolution": self.data.image_size})
        return self.normalize(torch.stack([self._read(Path(path), config) for path in paths]))

    def _read(self, path: Path, config: DataConfig) -> Tensor:
        channels = self.data.in_channels
        if channels not in (1, 3):
            raise DataError(f"the network has {channels} channels; image files have 1 or 3")
        try:
            read = read_test_image if config.name == "imagenet" else read_image
            image = read(path, config)
        except DataError as error:
            raise type(error)(str(error).removeprefix("data.dir: ")) from error
        if channels == 3:
            return image
        weights = torch.tensor(_LUMA).view(3, 1, 1)
        return (image * weights).sum(0, keepdim=True).round().to(torch.uint8)

    def predict(
        self, paths: Sequence[str | Path], *, top: int = 5, batch_size: int = 64
    ) -> Iterator[Prediction]:
        """Yield the predictions for image files, in order.

        Args:
            paths: The files.
            top: Number of classes per image.
            batch_size: Number of images that are read and classified at once.

        Raises:
            DataError: If a file cannot be read.
            TuneNasError: If an output is not finite.
            ValueError: If a number is below 1.
        """
        for name, value in (("top", top), ("batch_size", batch_size)):
            if value < 1:
                raise ValueError(f"{name} is {value}, but must be >= 1")
        for start in range(0, len(paths), batch_size):
            batch = paths[start : start + batch_size]
            with torch.inference_mode():
                probabilities = self(self.read_images(batch)).softmax(1)
            if not bool(torch.isfinite(probabilities).all()):
                raise TuneNasError("the network's outputs are not finite; it has diverged")
            best = probabilities.topk(min(top, len(self.data.classes)))
            for path, values, labels in zip(
                batch, best.values.tolist(), best.indices.tolist(), strict=True
            ):
                names = tuple(self.data.classes[label] for label in labels)
                yield Prediction(str(path), names, tuple(values))


def load_checkpoint(folder: str) -> TrainedNetwork:
    """Load the network of a checkpoint of a retraining run, on the CPU, in evaluation mode.

    Args:
        folder: The checkpoint's folder or URI.

    Raises:
        CheckpointError: If it is missing, damaged or not of a retraining run.
        ConfigError: If its space is not available.
        DataError: If the checkpoint is of an earlier version, which did not store the class names
            and the normalization, and the images cannot be read.
    """
    with fetched(folder) as local:
        state = load_state(local, name=STATE_FILE)
    with taking(folder):
        trial = stored_trial(state["trial"], folder)
        genotype = Genotype.from_yaml(state["genotype"])
        data = _data_summary(state, trial)
        metrics = state["history"][-1] if state["history"] else {}
        if "ema" in state:
            weights, metrics = _weights(state["ema"]["network"]), _of_average(metrics)
        else:
            weights = _weights(state["network"])
        network = _network(trial, genotype, data, metrics)
        network.network.load_state_dict(weights)
    return network


def _weights(state: Mapping[str, object]) -> dict[str, Tensor]:
    """Return the weights of a checkpoint without those of its auxiliary head, in float32."""
    weights: dict[str, Tensor] = {}
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} must be a tensor")
        if not name.startswith(_AUXILIARY):
            kept = value.float() if value.is_floating_point() else value
            weights[_PLAIN_STEM.sub(r"stem.first.\1", name.removeprefix(_BACKBONE))] = kept
    return weights


def _of_average(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the metrics of an epoch, with the test metrics of the averaged weights.

    Those of the best epoch are left out: they describe the weights themselves.
    """
    prefix = "ema_"
    found = {name: value for name, value in metrics.items() if name.startswith(prefix)}
    others = {name: value for name, value in metrics.items() if not name.startswith("best_")}
    return {**others, **{name.removeprefix(prefix): value for name, value in found.items()}}


def _network(
    trial: TrialConfig, genotype: Genotype, data: DataSummary, metrics: Mapping[str, float]
) -> TrainedNetwork:
    architecture = architecture_of(
        genotype,
        final_space(trial),
        n_classes=len(data.classes),
        in_channels=data.in_channels,
        image_size=data.image_size,
        init_channels=trial.retrain.init_channels,
        cells=trial.retrain.cells,
    )
    return TrainedNetwork(architecture, genotype, trial, data, metrics)


def _data_summary(state: Mapping[str, object], trial: TrialConfig) -> DataSummary:
    """Return the summary of the images; that of earlier checkpoints from the images themselves."""
    stored = state.get("data")
    if isinstance(stored, Mapping):
        return DataSummary.from_dict(stored)
    if stored is not None:
        raise CheckpointError("the checkpoint's summary of its images is damaged")
    device = torch.device("cpu")
    return DataSummary.of(load_data(trial.data, seed=trial.seed, device=device, for_search=False))


def _builder(name: str) -> Callable[[int, int], nn.Module]:
    def build(channels: int, stride: int) -> nn.Module:
        return build_operation(name, channels, stride, nn.BatchNorm2d)

    return build
