"""Proxies that run the final network of a genotype at initialization."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from tune_nas import manifest
from tune_nas.memory import check_scoring
from tune_nas.proxies.proxy import Proxy
from tune_nas.seeds import building, derive_seed, make_generator
from tune_nas.spaces import Genotype, Network, build_network, estimate_network


class NetworkProxy(Proxy):
    """A proxy that is measured on the untrained network; only `measure` is required.

    Every genotype's network is initialized with the same seed.
    """

    @property
    def backward_images(self) -> int:
        """Number of images that are propagated backward at a time, for the memory check."""
        return 0

    @property
    def forward_images(self) -> int:
        """Number of images that pass forward at a time, without gradients, likewise."""
        return 0

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type in which the network runs, likewise."""
        return self.inputs.dtype

    def score(self, genotype: Genotype) -> float:
        """Return the score of the genotype's network, with seeded initial weights.

        Raises:
            ConfigError: If it does not fit into the memory of the device.
        """
        inputs = self.inputs
        self._check_memory(genotype)
        gpus = [inputs.device] if inputs.device.type == "cuda" else []
        with building(), torch.random.fork_rng(devices=gpus):
            torch.manual_seed(derive_seed(inputs.seed, "proxy weights"))
            network = build_network(
                genotype,
                inputs.space,
                n_classes=inputs.n_classes,
                in_channels=inputs.in_channels,
                init_channels=inputs.init_channels,
                cells=inputs.cells,
            ).to(inputs.device, inputs.dtype)
            network.generator = make_generator(inputs.seed, "proxy noise")
            return self.measure(network)

    def _check_memory(self, genotype: Genotype) -> None:
        inputs = self.inputs
        estimate = estimate_network(
            inputs.space,
            genotype,
            n_classes=inputs.n_classes,
            in_channels=inputs.in_channels,
            image_size=inputs.image_size,
            init_channels=inputs.init_channels,
            cells=inputs.cells,
        )
        name = manifest.short_name("proxies", f"{type(self).__module__}:{type(self).__name__}")
        check_scoring(
            estimate,
            self.backward_images,
            self.dtype,
            inputs.device,
            name,
            forward_images=self.forward_images,
        )

    @abstractmethod
    def measure(self, network: Network) -> float:
        """Return the score of a network; it may be changed.

        Args:
            network: The network without an auxiliary head, in training mode. Torch's global
                generator is seeded, and restored afterwards.
        """


def weights_of(module: nn.Module) -> list[Tensor]:
    """Return the weights of convolutions and linear layers: parameters of two or more dimensions.

    Biases and the parameters of batch normalization have one.
    """
    return [parameter for parameter in module.parameters() if parameter.dim() > 1]
