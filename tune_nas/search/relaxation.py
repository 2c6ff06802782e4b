"""Relaxations: how α becomes the operation weights of the supernet.

Softmax: Liu et al., "DARTS", ICLR 2019, Eq. 2. Sigmoid with α₀ = −ln(n − 1): Hou and Jin,
"Single-level Optimization For Differential Architecture Search", 2021.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from tune_nas.config import RelaxationConfig
from tune_nas.errors import ConfigError
from tune_nas.spaces import CellSpace, CellWeights, MixingWeights, Space

Alphas = Mapping[str, Tensor]
"""Architecture parameters by cell type, each (edges, operations)."""

_RELAXATIONS: dict[str, type[Relaxation]] = {}


def register_relaxation(kind: str) -> Callable[[type[Relaxation]], type[Relaxation]]:
    """Make a relaxation known under the name that a trial's ``relaxation.kind`` uses."""

    def add(relaxation: type[Relaxation]) -> type[Relaxation]:
        _RELAXATIONS[kind] = relaxation
        return relaxation

    return add


def relaxation_names() -> list[str]:
    """Return the sorted names of all relaxations."""
    return sorted(_RELAXATIONS)


def make_relaxation(config: RelaxationConfig, space: Space) -> Relaxation:
    """Build the relaxation that a trial names."""
    return _RELAXATIONS[config.kind](config, space)


class Relaxation(ABC):
    """Maps α to mixing weights, cell type by cell type.

    Operations that an edge does not have (spaces whose edges differ) get weight 0 and α = 0.

    Args:
        config: The ``relaxation`` section of a trial.
        space: The space whose cells α describes.
    """

    default_init = "normal"

    def __init__(self, config: RelaxationConfig, space: Space) -> None:
        self.config = config
        self.cells = dict(space.cells)
        self._masks = {name: cell.mask() for name, cell in self.cells.items()}

    @abstractmethod
    def relax(self, alphas: Tensor, mask: Tensor) -> Tensor:
        """Map the α of one cell type to operation weights, both (edges, operations)."""

    def weights(self, alphas: Alphas) -> MixingWeights:
        """Return the mixing weights at which the supernet is run in training."""
        return {
            name: CellWeights(operations=self.relax(alpha, self.mask(name, alpha.device)))
            for name, alpha in alphas.items()
        }

    def mask(self, cell: str, device: torch.device) -> Tensor:
        """Return which operations each edge of a cell type has, (edges, operations), bool."""
        self._masks[cell] = self._masks[cell].to(device)
        return self._masks[cell]

    def initial_alphas(self, generator: torch.Generator, dtype: torch.dtype) -> dict[str, Tensor]:
        """Draw α₀ for every cell type, on the CPU.

        Raises:
            ConfigError: If ``uniform-weight`` meets an edge with a single operation.
        """
        return {
            name: self._initial(cell, generator, dtype) * self._masks[name].cpu()
            for name, cell in self.cells.items()
        }

    def _initial(self, cell: CellSpace, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
        init = self.default_init if self.config.init == "auto" else self.config.init
        shape = (len(cell.edges), cell.n_operations)
        default_std = 1e-3 if init == "normal" else 0.0
        std = default_std if self.config.init_std is None else self.config.init_std
        noise = std * torch.randn(shape, generator=generator, dtype=dtype)
        if init == "normal":
            return noise
        counts = cell.mask().sum(dim=1, keepdim=True)
        if bool((counts < 2).any()):
            raise ConfigError(
                "relaxation.init is 'uniform-weight', but an edge has a single operation; "
                "it needs at least 2"
            )
        return noise - (counts.to(dtype) - 1).log()


@register_relaxation("softmax")
class Softmax(Relaxation):
    """Operations of an edge compete: w = softmax(α), which sums to 1 (DARTS, Eq. 2)."""

    def relax(self, alphas: Tensor, mask: Tensor) -> Tensor:
        """Map α to softmax weights over the operations that each edge has."""
        return alphas.masked_fill(~mask, -math.inf).softmax(dim=-1)


@register_relaxation("sigmoid")
class Sigmoid(Relaxation):
    """Operations of an edge do not compete: w = σ(α), each in (0, 1) (Hou and Jin)."""

    default_init = "uniform-weight"

    def relax(self, alphas: Tensor, mask: Tensor) -> Tensor:
        """Map α to sigmoid weights."""
        return alphas.sigmoid() * mask
