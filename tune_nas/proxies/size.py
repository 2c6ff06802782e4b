"""The size of the network as a score.

In NAS-Bench-201 both rank all cells identically, by the number of 3×3 convolutions and then by
that of 1×1 convolutions. They are the baselines that a proxy has to beat (White et al., "A Deeper
Look at Zero-Cost Proxies for Lightweight NAS", ICLR Blog Track 2022).
"""

from __future__ import annotations

from tune_nas.proxies.proxy import Proxy
from tune_nas.spaces import Genotype, ModelSize, model_size


class _Size(Proxy):
    def size(self, genotype: Genotype) -> ModelSize:
        inputs = self.inputs
        return model_size(
            genotype,
            inputs.space,
            image_size=inputs.image_size,
            n_classes=inputs.n_classes,
            in_channels=inputs.in_channels,
            init_channels=inputs.init_channels,
            cells=inputs.cells,
        )


class Parameters(_Size):
    """The number of parameters, without an auxiliary head."""

    def score(self, genotype: Genotype) -> float:
        """Return the number of parameters."""
        return float(self.size(genotype).parameters)


class MultiplyAdds(_Size):
    """The number of multiply-adds of one image."""

    def score(self, genotype: Genotype) -> float:
        """Return the number of multiply-adds."""
        return float(self.size(genotype).multiply_adds)
