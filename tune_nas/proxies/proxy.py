"""The abstract base class of training-free proxies, and what they are computed from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tune_nas.spaces import Genotype, Space

CPU = torch.device("cpu")


@dataclass(frozen=True)
class ProxyInputs:
    """The inputs of a proxy: the network that is scored, and images for the proxies that need some.

    Args:
        space: The space of the genotypes, in the skeleton of the final network.
        n_classes: Number of classes.
        in_channels: Channels of the images.
        image_size: Height and width of the images, in pixels.
        batch: Returns a minibatch of normalized training images (n, in_channels, image_size,
            image_size), n ≥ 2, and their labels (n,), on the device and of the type below: the
            same in every call. A proxy without data never calls it.
        init_channels: Channels of the first cell; None for the space's usual final size.
        cells: Number of cells (per stage in the layout ``stages``); None likewise.
        seed: Seed of the initial weights, and of everything else that is sampled.
        dtype: Floating-point type of the network.
        device: Device of the network.
        n_images: Number of images of the minibatch.
    """

    space: Space
    n_classes: int
    in_channels: int
    image_size: int
    batch: Callable[[], tuple[Tensor, Tensor]]
    init_channels: int | None = None
    cells: int | None = None
    seed: int = 0
    dtype: torch.dtype = torch.float32
    device: torch.device = CPU
    n_images: int = 2


class Proxy(ABC):
    """A score of genotypes that needs no training.

    The score is a function of the inputs and the genotype: it does not depend on earlier calls, and
    torch's global generator is unchanged after a call.

    Args:
        inputs: The network and the images.
    """

    def __init__(self, inputs: ProxyInputs) -> None:
        self.inputs = inputs

    @abstractmethod
    def score(self, genotype: Genotype) -> float:
        """Return the score of a genotype: a finite number, higher is better.

        Raises:
            GenotypeError: If the space does not contain the genotype.
        """
