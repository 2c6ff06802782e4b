"""What a relaxation is: the map from α, and a seed, to the mixing weights of a supernet."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from tune_nas import manifest
from tune_nas.config import RelaxationConfig
from tune_nas.errors import ConfigError
from tune_nas.search.choices import Candidates, Choices
from tune_nas.search.parts import find_part, register_as, running_own_code
from tune_nas.seeds import Generators, new_generator
from tune_nas.spaces import CellSpace, CellWeights, MixingWeights, Space

Alphas = Mapping[str, Tensor]
"""Architecture parameters by cell type, each (edges, operations)."""

Betas = Mapping[str, Tensor]
"""Edge parameters β by cell type, each (edges,); empty without edge normalisation."""

_INIT_STD = {"normal": 1e-3, "uniform-weight": 0.0}  # where relaxation.init_std is not given


def register_relaxation(kind: str) -> Callable[[type[Relaxation]], type[Relaxation]]:
    """Make a relaxation known under the name that a trial's ``relaxation.kind`` uses."""
    return register_as("relaxations", kind)


def relaxation_names() -> list[str]:
    """Return the sorted names of all relaxations."""
    return sorted(manifest.names("relaxations"))


def make_relaxation(
    config: RelaxationConfig, space: Space, choices: Choices | None = None
) -> Relaxation:
    """Build the relaxation that a trial names.

    Raises:
        ConfigError: If it is a class of the user's that cannot be had.
    """
    kind: type[Relaxation] = find_part("relaxation.kind", config.kind, Relaxation)
    try:
        with running_own_code("relaxation.kind", config.kind):
            return kind(config, space, choices, **config.options)
    except TypeError as error:
        raise ConfigError(f"relaxation.options do not fit '{config.kind}': {error}") from error


def initialization(config: RelaxationConfig) -> tuple[str, float]:
    """Return how α is initialized, with ``auto`` resolved, and the standard deviation.

    Raises:
        ConfigError: If the relaxation is a class of the user's own that cannot be imported.
    """
    kind: type[Relaxation] = find_part("relaxation.kind", config.kind, Relaxation)
    init = kind.default_init if config.init == "auto" else config.init
    return init, _INIT_STD[init] if config.init_std is None else config.init_std


def runs_everything(config: RelaxationConfig) -> bool:
    """Return whether each pass of a search runs all operations.

    Raises:
        ConfigError: If the relaxation is a class of your own that cannot be imported.
    """
    kind: type[Relaxation] = find_part("relaxation.kind", config.kind, Relaxation)
    return kind.runs_everything


@dataclass(frozen=True)
class Sample:
    """What a relaxation draws for the edges of one cell type.

    Args:
        operations: Operation weights (edges, operations).
        active: Which operations need running, (edges, operations), bool, on the CPU; None for all.
        offsets: A number (edges,) that is added to each edge's sum; None for none.
    """

    operations: Tensor
    active: Tensor | None = None
    offsets: Tensor | None = None


class Relaxation(ABC):
    """Maps α to mixing weights, cell type by cell type.

    Operations that an edge does not have (spaces whose edges differ, or that were taken out
    while the search ran) get weight 0. A decided edge has weight 1 and α no part in it.

    Args:
        config: The ``relaxation`` section of a trial.
        space: The space whose cells α describes.
        choices: What is still open; None for everything.
    """

    # What a class of the user's own reads of the trial, besides what every relaxation does: keys or
    # sections; None for the whole section `relaxation`. Other keys are refused as without effect.
    reads: ClassVar[Sequence[str] | None] = None
    default_init = "normal"
    is_drawn = False  # whether each pass draws its weights
    # Whether the valid accuracy is that of draws, one for each batch, and not that of the expected
    # weights: where nothing like the expected mixture is ever trained.
    evaluates_draws = False
    # Whether every pass runs all operations of all edges, and not one on an edge: what the estimate
    # of memory counts. A class that does not say so is taken for one that does not.
    runs_everything = False
    competes = True  # whether the weights of an edge sum to 1
    # Whether a pass can be captured in a CUDA graph: it draws from the given generator alone, reads
    # no value back to the host, and what else it depends on is α, the mask and plain attributes.
    capturable = False

    def __init__(
        self, config: RelaxationConfig, space: Space, choices: Choices | None = None
    ) -> None:
        self.config = config
        self.cells = dict(space.cells)
        self.choices = Choices(space) if choices is None else choices

    @abstractmethod
    def relax(self, alphas: Tensor, mask: Tensor) -> Tensor:
        """Map the α of one cell type to its expected operation weights, both (edges, operations).

        Selection uses them, and evaluation does unless it draws. Rows of the mask may be empty:
        their weights are 0.
        """

    def sample(self, alphas: Tensor, mask: Tensor, generator: torch.Generator) -> Sample:
        """Draw the operation weights of one pass; by default the expected ones.

        Args:
            alphas: α of one cell type, (edges, operations).
            mask: Which operations each edge has, (edges, operations), bool.
            generator: On α's device; all that is drawn comes from it.
        """
        return Sample(self.relax(alphas, mask))

    def constants(self) -> dict[str, Any]:
        """Return what changes over epochs and is read on the host: a graph holds for one value.

        By default every attribute that is a number or text.
        """
        return {
            key: held for key, held in vars(self).items() if isinstance(held, int | float | str)
        }

    def penalty(self, alphas: Alphas) -> Tensor | None:
        """Return the further term of α's loss that ``relaxation.penalty`` names; None without."""
        return None

    def set_epoch(self, epoch: int, epochs: int) -> None:  # noqa: B027
        """Take note of the epoch, counted from 0, of so many: temperatures follow it."""

    def metrics(self) -> dict[str, float]:
        """Return what the epoch's metrics should have of it, as its temperature."""
        return {}

    def weights(
        self,
        alphas: Alphas,
        betas: Betas | None = None,
        seed: int | None = None,
        generators: Generators = new_generator,
    ) -> MixingWeights:
        """Return the mixing weights.

        Args:
            alphas: α by cell type.
            betas: β by cell type.
            seed: Decides what one pass draws; None for the expected weights.
            generators: Where the generator of a cell type comes from, by that seed.
        """
        return {
            name: self._cell_weights(name, alpha, (betas or {}).get(name), seed, generators)
            for name, alpha in alphas.items()
        }

    def _cell_weights(
        self,
        name: str,
        alpha: Tensor,
        beta: Tensor | None,
        seed: int | None,
        generators: Generators,
    ) -> CellWeights:
        mask = self.choices.remaining(name, alpha.device)
        drawn = self._draw(name, alpha, mask, seed, generators)
        operations, active, offsets = drawn.operations, drawn.active, drawn.offsets
        if not self.choices.is_untouched(name):
            remaining = self.choices.remaining(name)
            active = remaining if active is None else active & remaining
            decided = self.choices.decided(name, alpha.device)
            operations = torch.where(decided[:, None], mask.to(operations.dtype), operations)
            if offsets is not None:
                offsets = offsets.masked_fill(decided, 0.0)
        edges = None if beta is None else _edge_weights(self.choices, name, beta)
        return CellWeights(operations, edges=edges, active=active, offsets=offsets)

    def _draw(
        self, name: str, alpha: Tensor, mask: Tensor, seed: int | None, generators: Generators
    ) -> Sample:
        if seed is None or not self.is_drawn:
            return Sample(self.relax(alpha, mask))
        return self.sample(alpha, mask, generators(seed, name, alpha.device))

    def initial_alphas(self, generator: torch.Generator, dtype: torch.dtype) -> dict[str, Tensor]:
        """Draw α₀ for every cell type, on the CPU.

        Raises:
            ConfigError: If ``uniform-weight`` meets an edge with a single operation.
        """
        init = self.default_init if self.config.init == "auto" else self.config.init
        std = _INIT_STD[init] if self.config.init_std is None else self.config.init_std
        return {
            name: _initial_alpha(cell, init, std, generator, dtype) * cell.mask()
            for name, cell in self.cells.items()
        }

    def initial_betas(self, generator: torch.Generator, dtype: torch.dtype) -> dict[str, Tensor]:
        """Draw β₀ ~ N(0, 10⁻³) for every cell type, on the CPU; none without normalisation."""
        if not self.config.edge_normalization:
            return {}
        return {
            name: 1e-3 * torch.randn(len(cell.edges), generator=generator, dtype=dtype)
            for name, cell in self.cells.items()
        }


def _edge_weights(choices: Candidates, name: str, beta: Tensor) -> Tensor:
    """Return softmax(β) over the edges into each node (PC-DARTS, Eq. 4); pruned ones get 0."""
    pruned = choices.pruned(name, beta.device)
    weights = torch.zeros_like(beta)
    for rows in choices.incoming(name, beta.device):
        share = softmax_where(beta[rows][None], ~pruned[rows][None])[0]
        weights = weights.index_copy(0, rows, share)
    return weights


def _initial_alpha(
    cell: CellSpace, init: str, std: float, generator: torch.Generator, dtype: torch.dtype
) -> Tensor:
    shape = (len(cell.edges), cell.n_operations)
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


def softmax_where(values: Tensor, mask: Tensor) -> Tensor:
    """Return the softmax of each row over the entries of a mask; 0 elsewhere, and in empty rows."""
    empty = ~mask.any(dim=-1, keepdim=True)
    shares = values.masked_fill(~(mask | empty), float("-inf")).softmax(dim=-1)
    return shares.masked_fill(empty, 0.0)
