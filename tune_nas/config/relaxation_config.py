"""The ``relaxation`` section of a trial: how α becomes operation weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from tune_nas.config.options.categorical_options import CategoricalOptions
from tune_nas.config.options.relaxation_options import GumbelOptions, PenaltyOptions
from tune_nas.config.options.smoothing_options import AdversarialOptions
from tune_nas.config.part_section import PartSection
from tune_nas.config.section import Channels, Fraction, Rate, check_part

_ONE_PATH = ("gumbel", "categorical", "uniform-path")


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
    init: Literal["auto", "normal", "uniform-weight"] = "auto"
    init_std: Rate | None = None

    @field_validator("kind")
    @classmethod
    def _known(cls, value: str) -> str:
        return check_part("relaxation.kind", value)


class RelaxationConfig(CategoricalOptions, PenaltyOptions, GumbelOptions, _RelaxationKind):
    """How α becomes operation weights.

    The options of the shipped relaxations are keys of this section.

    Args:
        kind: ``softmax``; ``sigmoid``; ``gumbel`` (one sampled operation per edge, GDAS);
            ``concrete`` (a sampled soft choice, SNAS); ``dirichlet`` (DrNAS); ``categorical`` (one
            operation per edge sampled from softmax(α); DSNAS, ProxylessNAS, PARSEC);
            ``uniform-path`` (one architecture of the space, sampled uniformly regardless of α,
            RSPS); or ``module:Class`` for a custom one.
        init: ``normal``: N(0, init_std); ``uniform-weight``: α₀ = −ln(n − 1), at which
            σ(α₀) = 1/n (Hou and Jin); ``auto``: normal, and uniform-weight for sigmoid.
        init_std: Standard deviation of ``normal``, and of the noise around ``uniform-weight`` if it
            is given; the paper has no such noise.
        smoothing: Perturbation of the weights in w steps.
        partial_channels: K: 1/K of a node's channels passes through the operations, the others
            bypass them, then all are shuffled (PC-DARTS); 1 for all.
        edge_normalization: Whether each edge has a weight, softmax(β) over the edges into its node
            (PC-DARTS); a genotype then ranks by operation weight × edge weight.
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

    @model_validator(mode="after")
    def _goes_together(self) -> RelaxationConfig:
        if self.smoothing.kind != "none" and self.kind in _ONE_PATH:
            raise ValueError(
                f"relaxation.smoothing.kind is '{self.smoothing.kind}', but relaxation.kind "
                f"'{self.kind}' runs one operation per edge: it has no weights to smooth"
            )
        if self.edge_normalization and self.kind == "uniform-path":
            raise ValueError(
                "relaxation.edge_normalization is true, but relaxation.kind 'uniform-path' draws "
                "edges whatever β is"
            )
        owners = {"kl": "dirichlet", "kl-all": "dirichlet", "zero-one": "sigmoid"}
        owner = owners.get(self.penalty.kind)
        if owner is not None and self.kind != owner:
            raise ValueError(
                f"relaxation.penalty.kind is '{self.penalty.kind}', but belongs to "
                f"relaxation.kind '{owner}', not '{self.kind}'"
            )
        return self
