"""Base class of relaxations: they map α, and a seed, to the mixing weights of a supernet."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from tune_nas import manifest
from tune_nas.config import RelaxationConfig
from tune_nas.errors import ConfigError
from tune_nas.search.candidates import CandidateMask
from tune_nas.search.plugins import register_as, running_own_code
from tune_nas.seeds import Generators, new_generator
from tune_nas.spaces import CellSpace, CellWeights, MixingWeights, Space
from tune_nas.user_code import load_class

Alphas = Mapping[str, Tensor]
"""Architecture parameters by cell type, each (edges, operations)."""

Betas = Mapping[str, Tensor]
"""Edge parameters β by cell type, each (edges,); empty without edge normalization."""

Operations = Mapping[str, Tensor]
"""An operation per edge by cell type, each (edges,), as columns."""

# If relaxation.init_std is not given.
_INIT_STD = {"normal": 1e-3, "uniform-weight": 0.0, "half": 0.0}


def register_relaxation(kind: str) -> Callable[[type[Relaxation]], type[Relaxation]]:
    """Register a relaxation under a name for ``relaxation.kind`` of a trial."""
    return register_as("relaxations", kind)


def relaxation_names() -> list[str]:
    """Return the sorted names of all relaxations."""
    return sorted(manifest.names("relaxations"))


def make_relaxation(
    config: RelaxationConfig, space: Space, choices: CandidateMask | None = None
) -> Relaxation:
    """Build the relaxation that a trial names.

    Raises:
        ConfigError: If it is a custom class that cannot be loaded.
    """
    kind: type[Relaxation] = load_class("relaxation.kind", config.kind, Relaxation)
    try:
        with running_own_code("relaxation.kind", config.kind):
            relaxation = kind(config, space, choices, **config.options)
    except TypeError as error:
        raise ConfigError(f"relaxation.options do not fit '{config.kind}': {error}") from error
    if config.weights not in (None, config.kind):
        relaxation.of_weights = _relaxation_of_weights(config, space, relaxation.choices)
    return relaxation


def _relaxation_of_weights(
    config: RelaxationConfig, space: Space, choices: CandidateMask
) -> Relaxation:
    """Build the relaxation that ``relaxation.weights`` names."""
    name = str(config.weights)
    kind: type[Relaxation] = load_class("relaxation.weights", name, Relaxation)
    try:
        with running_own_code("relaxation.weights", name):
            return kind(config, space, choices).for_weights()
    except TypeError as error:
        raise ConfigError(
            f"relaxation.weights is '{name}', whose class needs arguments: {error}"
        ) from error


def initialization(config: RelaxationConfig) -> tuple[str, float]:
    """Return how α is initialized, with ``auto`` resolved, and the standard deviation.

    Raises:
        ConfigError: If the relaxation is a custom class that cannot be imported.
    """
    kind: type[Relaxation] = load_class("relaxation.kind", config.kind, Relaxation)
    auto = "uniform-weight" if config.on_simplex else kind.default_init
    init = auto if config.init == "auto" else config.init
    return init, _INIT_STD[init] if config.init_std is None else config.init_std


def runs_everything(config: RelaxationConfig) -> bool:
    """Return whether passes of a search run all operations, those of w or those of α.

    Raises:
        ConfigError: If the relaxation is a custom class that cannot be imported.
    """
    names = {"relaxation.kind": config.kind, "relaxation.weights": config.weights or config.kind}
    kinds: list[type[Relaxation]] = [
        load_class(key, name, Relaxation) for key, name in names.items()
    ]
    return any(
        kind.runs_everything
        or any(getattr(config, key) == value for key, value in kind.runs_everything_if.items())
        for kind in kinds
    )


@dataclass(frozen=True)
class Sample:
    """A relaxation's sample for the edges of one cell type.

    Args:
        operations: Operation weights (edges, operations).
        active: Operations to run, (edges, operations), bool, on the CPU; None for all.
        offsets: Scalar added to each edge's sum, (edges,); None for none.
    """

    operations: Tensor
    active: Tensor | None = None
    offsets: Tensor | None = None


class AlphaStep(NamedTuple):
    """A step of α's optimizer, just made.

    Args:
        before: α before the step by cell type, each (edges, operations).
        alphas: α after it, likewise; may be changed in place.
        betas: β after it by cell type, each (edges,), likewise; empty without edge normalization.
        seeds: The seeds of the passes whose gradients the step used.
        generators: Source of the generator of a cell type, given such a seed.
    """

    before: Alphas
    alphas: Alphas
    betas: Betas
    seeds: Sequence[int]
    generators: Generators


class Relaxation(ABC):
    """Maps α to mixing weights, cell type by cell type.

    Operations that an edge does not have (in spaces whose edges differ, or removed during the
    search) get weight 0. A decided edge has weight 1, independent of α.

    Args:
        config: The ``relaxation`` section of a trial.
        space: The space whose cells α describes.
        choices: The remaining operations; None for all.

    Attributes:
        of_weights: Another relaxation for the passes that compute only w's gradient; None for none.
            A class may build one, with the same choices; ``relaxation.weights`` replaces it.
    """

    # Keys or sections of the trial that a custom class reads, besides those that every relaxation
    # reads; None for the whole section `relaxation`. Other keys are rejected as without effect.
    reads: ClassVar[Sequence[str] | None] = None
    default_init = "normal"
    is_drawn = False  # whether each pass samples its weights
    # Whether the validation accuracy is that of samples, one per batch, rather than of the expected
    # weights: for relaxations that never train anything like the expected mixture.
    evaluates_draws = False
    # Whether every pass runs all operations of all edges rather than one per edge, for the estimate
    # of memory. The default is False.
    runs_everything = False
    # Otherwise, values of keys of the section `relaxation` with which α's passes run all of them.
    runs_everything_if: ClassVar[Mapping[str, str]] = {}
    competes = True  # whether the weights of an edge sum to 1
    adjusts_alphas = False  # whether `adjust_alphas` is called after each step of α's optimizer
    # Whether the gradient of `relax` differs from its derivative by design (straight-through).
    straight_through = False
    # Whether a pass can be captured in a CUDA graph: it samples only from the given generator,
    # reads no value back to the host, and otherwise depends only on α, the mask and plain
    # attributes.
    capturable = False

    def __init__(
        self, config: RelaxationConfig, space: Space, choices: CandidateMask | None = None
    ) -> None:
        self.config = config
        self.cells = dict(space.cells)
        self.choices = CandidateMask(space) if choices is None else choices
        self.of_weights: Relaxation | None = None

    @abstractmethod
    def relax(self, alphas: Tensor, mask: Tensor) -> Tensor:
        """Map the α of one cell type to its expected operation weights, both (edges, operations).

        Used by selection, and by evaluation unless it samples. Rows of the mask may be empty: their
        weights are 0.
        """

    def sample(self, alphas: Tensor, mask: Tensor, generator: torch.Generator) -> Sample:
        """Sample the operation weights of one pass; by default, the expected ones.

        Args:
            alphas: α of one cell type, (edges, operations).
            mask: The operations of each edge, (edges, operations), bool.
            generator: Source of all random values, on α's device.
        """
        return Sample(self.relax(alphas, mask))

    def constants(self) -> dict[str, object]:
        """Return the host values that change over epochs; a graph is valid for one value of them.

        By default, every attribute that is a number or text.
        """
        return {
            key: held for key, held in vars(self).items() if isinstance(held, int | float | str)
        }

    def penalty(self, alphas: Alphas) -> Tensor | None:
        """Return the term of ``relaxation.penalty`` in α's loss; None without one."""
        return None

    def logits(self, alphas: Tensor, mask: Tensor) -> Tensor:
        """Return the logits of one cell type's operations, (edges, operations); by default α.

        For what reads softmax(α) regardless of the relaxation. Entries outside of the mask are
        arbitrary.
        """
        return alphas

    def relax_edges(self, betas: Tensor, mask: Tensor) -> Tensor:
        """Map β of the edges into nodes to edge weights; by default softmax (PC-DARTS, Eq. 4).

        Args:
            betas: β, a row per node, (nodes, edges of a node).
            mask: The edges that are not pruned, likewise, bool; all others get weight 0.
        """
        return softmax_where(betas, mask)

    def sample_operations(self, generator: torch.Generator) -> Operations | None:
        """Sample an operation per edge for a genotype; None to sample them uniformly.

        Args:
            generator: A generator on the CPU.
        """
        return None

    def for_weights(self) -> Relaxation:
        """Return the relaxation of the passes that compute only w's gradient; by default itself."""
        return self if self.of_weights is None else self.of_weights

    def adjust_alphas(self, step: AlphaStep) -> None:  # noqa: B027
        """Change α and β after a step of their optimizer, without gradients, e.g. project them.

        It is called if ``adjusts_alphas`` is true. α of decided and pruned edges must not change.
        """

    def set_epoch(self, epoch: int, epochs: int) -> None:  # noqa: B027
        """Set the epoch (0-based) and the number of epochs, e.g. for temperatures."""

    def metrics(self) -> dict[str, float]:
        """Return its metrics for the epoch, e.g. its temperature."""
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
            seed: Random seed of one pass; None for the expected weights.
            generators: Source of the generator of a cell type, given the seed.
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
        edges = None if beta is None else _edge_weights(self, name, beta)
        return CellWeights(operations, edges=edges, active=active, offsets=offsets)

    def _draw(
        self, name: str, alpha: Tensor, mask: Tensor, seed: int | None, generators: Generators
    ) -> Sample:
        if seed is None or not self.is_drawn:
            return Sample(self.relax(alpha, mask))
        return self.sample(alpha, mask, generators(seed, name, alpha.device))

    def initial_alphas(self, generator: torch.Generator, dtype: torch.dtype) -> dict[str, Tensor]:
        """Sample α₀ for every cell type, on the CPU.

        Raises:
            ConfigError: If an edge has a single operation with ``uniform-weight``.
        """
        init = self.default_init if self.config.init == "auto" else self.config.init
        std = _INIT_STD[init] if self.config.init_std is None else self.config.init_std
        return {
            name: _initial_alpha(cell, init, std, generator, dtype) * cell.mask()
            for name, cell in self.cells.items()
        }

    def initial_betas(self, generator: torch.Generator, dtype: torch.dtype) -> dict[str, Tensor]:
        """Sample β₀ ~ N(0, 10⁻³) for every cell type, on the CPU; none without normalization."""
        if not self.config.edge_normalization:
            return {}
        return {
            name: 1e-3 * torch.randn(len(cell.edges), generator=generator, dtype=dtype)
            for name, cell in self.cells.items()
        }


def _edge_weights(relaxation: Relaxation, name: str, beta: Tensor) -> Tensor:
    """Return the weights of the edges of one cell type, (edges,); pruned ones get 0."""
    choices = relaxation.choices
    pruned = choices.pruned(name, beta.device)
    weights = torch.zeros_like(beta)
    for rows in choices.incoming(name, beta.device):
        share = relaxation.relax_edges(beta[rows][None], ~pruned[rows][None])[0]
        weights = weights.index_copy(0, rows, share)
    return weights


def _initial_alpha(
    cell: CellSpace, init: str, std: float, generator: torch.Generator, dtype: torch.dtype
) -> Tensor:
    shape = (len(cell.edges), cell.n_operations)
    noise = std * torch.randn(shape, generator=generator, dtype=dtype)
    if init == "normal":
        return noise
    if init == "half":
        return noise + 0.5
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


def log_softmax_where(values: Tensor, mask: Tensor) -> Tensor:
    """Return the logarithm of `softmax_where` over the entries of a mask; 0 elsewhere."""
    return masked(values, mask).log_softmax(dim=-1).masked_fill(~mask, 0.0)


def masked(values: Tensor, mask: Tensor) -> Tensor:
    """Return values with −∞ outside of a mask; rows without any entry are unchanged."""
    empty = ~mask.any(dim=-1, keepdim=True)
    return values.masked_fill(~(mask | empty), float("-inf"))
