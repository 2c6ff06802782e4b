"""The protocol of an export format, and what is written beside the weights."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from tune_nas.errors import ExportError
from tune_nas.export.architecture import operations_in
from tune_nas.export.plain_network import OPERATIONS, PlainNetwork
from tune_nas.export.trained_network import TrainedNetwork

Run = Callable[[Tensor], Tensor]
"""Returns the logits (n, n_classes) of images (n, in_channels, h, w)."""


@dataclass(frozen=True)
class Exportable:
    """A network as it is exported.

    Args:
        trained: The trained network.
        network: The network that is written, in evaluation mode.
        normalizes: Whether it takes images in [0, 1] rather than normalized ones.
        run: Name of the run that trained it; empty if unknown.
    """

    trained: TrainedNetwork
    network: PlainNetwork
    normalizes: bool
    run: str = ""

    @classmethod
    def of(cls, trained: TrainedNetwork, *, normalizes: bool = False, run: str = "") -> Exportable:
        """Return a trained network as it is exported.

        Raises:
            ExportError: If the output of the network is random.
        """
        if "noise" in operations_in(trained.architecture):
            raise ExportError(
                "the genotype has the operation 'noise', whose output is random; such a network "
                "cannot be exported"
            )
        network = _normalizing(trained) if normalizes else trained.network
        return cls(trained, network.eval(), normalizes, run)

    @property
    def own_operations(self) -> list[str]:
        """Names of operations that are not built in, sorted."""
        return sorted(operations_in(self.trained.architecture) - OPERATIONS.keys())

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Shape of an image, (in_channels, h, w)."""
        data = self.trained.data
        return data.in_channels, data.image_size, data.image_size

    def examples(self, n: int = 2) -> Tensor:
        """Return random images in the range of the input, (n, in_channels, h, w), always equal."""
        generator = torch.Generator().manual_seed(0)
        images = torch.rand((n, *self.image_shape), generator=generator)
        return images if self.normalizes else self.trained.normalize(images)

    def input_of(self, images: Tensor) -> Tensor:
        """Return images, (n, in_channels, h, w), uint8, as the written network takes them."""
        return images.float() / 255 if self.normalizes else self.trained.normalize(images)

    def metadata(self) -> dict[str, str]:
        """Return the texts that each format stores beside the weights."""
        trained, data = self.trained, self.trained.data
        found = {
            "genotype": trained.genotype.to_yaml(),
            "space": str(trained.trial.space.name),
            "classes": json.dumps(list(data.classes), ensure_ascii=False),
            "input": f"float32, (batch, {', '.join(map(str, self.image_shape))})",
            "input_range": "[0, 1]" if self.normalizes else "(image in [0, 1] - mean) / std",
            "mean": json.dumps(list(data.mean)),
            "std": json.dumps(list(data.std)),
            "output": f"logits, (batch, {len(data.classes)})",
            "run": self.run,
        }
        if "test_accuracy" in trained.metrics:
            found["test_accuracy"] = str(trained.metrics["test_accuracy"])
        return found


def _normalizing(trained: TrainedNetwork) -> PlainNetwork:
    """Return a copy of a network that normalizes its images itself."""
    network = PlainNetwork(trained.architecture, normalizes=True, build=trained.operations)
    statistics = {
        "normalize.running_mean": torch.tensor(trained.data.mean),
        "normalize.running_var": torch.tensor(trained.data.std).square(),
        "normalize.num_batches_tracked": torch.tensor(0),
    }
    network.load_state_dict({**trained.network.state_dict(), **statistics})
    return network


class ExportFormat(ABC):
    """A format in which a trained network can be written.

    Attributes:
        suffix: Ending of the file's name, e.g. ``.onnx``.
        packages: Packages that must be importable, by the name under which they are imported.
    """

    suffix: str
    packages: tuple[str, ...] = ()

    @abstractmethod
    def write(self, network: Exportable, path: Path) -> None:
        """Write a network to a file.

        Raises:
            ExportError: If this format cannot represent the network.
        """

    @abstractmethod
    def read(self, path: Path, network: Exportable) -> Run:
        """Return a function that runs a written file without the network that was written.

        Args:
            path: A file that `write` has written.
            network: The network, for formats that contain weights alone.
        """

    def other_runtimes(self, path: Path, network: Exportable) -> Mapping[str, Run]:
        """Return functions that run a written file by other runtimes that are installed, by name.

        Args:
            path: A file that `write` has written.
            network: The network.
        """
        return {}

    def extra_files(self, path: Path) -> tuple[Path, ...]:
        """Return the paths of further files that `write` makes beside the file."""
        return ()
