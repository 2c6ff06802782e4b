"""The ``relaxation`` section of a trial: how α becomes operation weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from tune_nas import manifest
from tune_nas.config.options.categorical_options import CategoricalOptions
from tune_nas.config.options.controller_options import ControllerOptions
from tune_nas.config.options.dropout_options import DropoutOptions
from tune_nas.config.options.relaxation_options import GumbelOptions, PenaltyOptions
from tune_nas.config.options.smoothing_options import AdversarialOptions
from tune_nas.config.options.supernet_options import SupernetOptions
from tune_nas.config.part_section import PartSection
from tune_nas.config.section import Channels, Fraction, Rate, check_part

_CONCRETE = ("gumbel", "concrete")
_ONE_PATH = ("gumbel", "categorical", "uniform-path", "proximal", "controller")
NOT_ALL = (*_ONE_PATH, "dropout")
"""The shipped relaxations that do not run all operations of an edge in w's passes."""
_EDGES_AT_RANDOM = ("uniform-path", "controller")


class _SmoothingKind(PartSection):
    section = "relaxation.smoothing"

    kind: str = "none"

    @field_validator("kind")
    @classmethod
    def _known(cls, value: str) -> str:
        return check_part("relaxation.smoothing.kind", value, also=("none",))


class SmoothingConfig(AdversarialOptions, _SmoothingKind):
    """Perturbation of the operation weights in w steps (SDARTS, arXiv:2002.05283).

    The options of the shipped ones are keys of this section.

    Args:
        kind: ``random``: uniform within the radius (SDARTS-RS); ``adversarial``: the worst case
            within it, found by projected gradient ascent (SDARTS-ADV); ``none``; or
            ``module:Class`` for a custom one.
    """


class _RelaxationKind(PartSection):
    section = "relaxation"

    kind: str = "softmax"
    init: Literal["auto", "normal", "uniform-weight", "half"] = "auto"
    init_std: Rate | None = None
    weights: str | None = None

    @field_validator("kind")
    @classmethod
    def _known(cls, value: str) -> str:
        return check_part("relaxation.kind", value)

    @field_validator("weights")
    @classmethod
    def _known_for_weights(cls, value: str | None) -> str | None:
        return None if value is None else check_part("relaxation.weights", value)


class RelaxationConfig(
    SupernetOptions,
    DropoutOptions,
    ControllerOptions,
    CategoricalOptions,
    PenaltyOptions,
    GumbelOptions,
    _RelaxationKind,
):
    """How α becomes operation weights.

    The options of the shipped relaxations are keys of this section.

    Args:
        kind: ``softmax``; ``sigmoid``; ``gumbel`` (one sampled operation per edge, GDAS);
            ``concrete`` (a sampled soft choice, SNAS); ``dirichlet`` (DrNAS); ``categorical`` (one
            operation per edge sampled from softmax(α); DSNAS, ProxylessNAS, PARSEC); ``dropout`` (a
            softmax over the operations that a pass keeps, DropNAS); ``uniform-path`` (one
            architecture of the space, sampled uniformly regardless of α, RSPS); ``simplex`` (the
            weights are α itself, GAEA, XNAS); ``proximal`` (the architecture of the largest α, in
            [0, 1], NASP); ``controller`` (operations sampled by an LSTM, ENAS); or
            ``module:Class`` for a custom one.
        init: ``normal``: N(0, init_std); ``uniform-weight``: α₀ = −ln(n − 1), at which
            σ(α₀) = 1/n (Hou and Jin); ``half``: 0.5 (NASP); ``auto``: normal, but uniform-weight
            for sigmoid and half for proximal. Where α is a point of the simplex, it is
            softmax(N(0, init_std)) with ``normal``, and 1/n with ``uniform-weight`` and ``auto``.
        init_std: Standard deviation of ``normal``, and of the noise around ``uniform-weight`` and
            ``half`` if it is given; the papers have no such noise.
        weights: Relaxation of the passes that compute only w's gradient, e.g. ``uniform-path``
            (SETN, arXiv:1910.11831); None for ``kind``. It reads the same keys of this section;
            ``options`` are those of ``kind``.
        smoothing: Perturbation of the weights in w steps.
        partial_channels: K: 1/K of a node's channels passes through the operations, the others
            bypass them, then all are shuffled (PC-DARTS); 1 for all.
        edge_normalization: Whether each edge has a weight, softmax(β) over the edges into its node
            (PC-DARTS), or β itself where α is a point of the simplex; a genotype then ranks by
            operation weight × edge weight.
        flops_weight: Factor of a term in α's loss: the multiply-adds of the supernet's operations
            under their expected weights, divided by those with the most expensive operation on
            every edge (the form of ProxylessNAS and FBNet); 0 for no such term.
        flops_bound: The quotient up to which the term is left out (DSNAS); 0 for always adding it.
        options: Keyword arguments of a custom class; of a shipped relaxation, another spelling of
            the keys that hold its options.
    """

    renamed: ClassVar[Mapping[str, str]] = {"edge_normalisation": "edge_normalization"}
    renamed_values: ClassVar[Mapping[str, Mapping[str, str]]] = {"kind": {"path": "uniform-path"}}

    smoothing: SmoothingConfig = SmoothingConfig()
    partial_channels: Channels = 1
    edge_normalization: bool = False
    flops_weight: Rate = 0.0
    flops_bound: Fraction = 0.0
    options: dict[str, Any] = Field(default_factory=dict)

    @property
    def on_simplex(self) -> bool | None:
        """Whether α is a point of the simplex on each edge; None for a custom class."""
        if not manifest.is_shipped("relaxations", self.kind):
            return None
        sampled = self.kind in _CONCRETE and self.alphas == "probabilities"
        return self.kind == "simplex" or sampled

    @model_validator(mode="after")
    def _smoothing_fits(self) -> RelaxationConfig:
        key, kind = ("kind", self.kind) if self.weights is None else ("weights", self.weights)
        if self.smoothing.kind == "none" or kind not in NOT_ALL:
            return self
        why = (
            "runs one operation per edge: it has no weights to smooth"
            if kind in _ONE_PATH
            else "does not run every operation whose weight would be smoothed; take 'softmax'"
        )
        raise ValueError(
            f"relaxation.smoothing.kind is '{self.smoothing.kind}', but relaxation.{key} "
            f"'{kind}' {why}"
        )

    @model_validator(mode="after")
    def _weights_fit(self) -> RelaxationConfig:
        if self.weights in (None, self.kind):
            return self
        if self.kind == "uniform-path":
            raise ValueError(
                f"relaxation.weights is '{self.weights}', but relaxation.kind 'uniform-path' has "
                "no α for it; leave it out, or exchange the two"
            )
        if self.weights == "controller":
            raise ValueError(
                "relaxation.weights is 'controller', but nothing trains it unless relaxation.kind "
                "is 'controller' too; take 'uniform-path'"
            )
        if self.weights != "uniform-path" and self.on_simplex is not None:
            other = self.model_copy(update={"kind": self.weights}).on_simplex
            if other is not None and other != self.on_simplex:
                raise ValueError(
                    f"relaxation.weights is '{self.weights}', but must read α "
                    f"{'on' if self.on_simplex else 'off'} the simplex, as relaxation.kind "
                    f"'{self.kind}' does"
                )
        return self

    @model_validator(mode="after")
    def _edges_and_penalty_fit(self) -> RelaxationConfig:
        if self.edge_normalization and self.kind in _EDGES_AT_RANDOM:
            raise ValueError(
                f"relaxation.edge_normalization is true, but relaxation.kind '{self.kind}' samples "
                "edges regardless of β"
            )
        owners = {"kl": "dirichlet", "kl-all": "dirichlet", "zero-one": "sigmoid"}
        owner = owners.get(self.penalty.kind)
        if owner is not None and self.kind != owner:
            raise ValueError(
                f"relaxation.penalty.kind is '{self.penalty.kind}', but belongs to "
                f"relaxation.kind '{owner}', not '{self.kind}'"
            )
        return self
