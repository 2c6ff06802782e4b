"""The ``relaxation`` section of a trial: how α becomes operation weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from tune_nas import manifest
from tune_nas.config.section import Channels, Passes, Positive, Rate, Section, check_part

_ONE_PATH = ("gumbel", "uniform-path")


class TemperatureConfig(Section):
    """τ of gumbel and concrete, linear from the first epoch to the last.

    Args:
        start: τ of epoch 1 (GDAS: 10).
        end: τ of the last epoch (GDAS: 0.1; the MiLeNAS code: 1).
    """

    start: Positive = 10.0
    end: Positive = 0.1


class SmoothingConfig(Section):
    """Perturbation of the operation weights in w steps (SDARTS, arXiv:2002.05283).

    Args:
        kind: ``random``: uniform within the radius (SDARTS-RS); ``adversarial``: the worst case
            within it, found by projected gradient ascent (SDARTS-ADV); ``none``; or
            ``module:Class`` for a custom one.
        start: Radius ε before the first epoch; it grows linearly with the epochs.
        end: Radius after the last epoch and during the tuning of a selection.
        steps: Gradient steps of ``adversarial``, of size 2ε / steps.
    """

    kind: str = "none"
    start: Rate = 0.03
    end: Rate = 0.3
    steps: Passes = 7

    @field_validator("kind")
    @classmethod
    def _known(cls, value: str) -> str:
        return check_part("relaxation.smoothing.kind", value, also=("none",))


class PenaltyConfig(Section):
    """A term added to the cross-entropy in α's loss.

    Args:
        kind: ``kl``: KL(Dir(elu(α) + 1) ‖ Dir(1)) of dirichlet (DrNAS), over the remaining
            operations of undecided edges; ``kl-all``: over all operations of all edges, including
            pruned ones, as in the code of DrNAS; ``zero-one``: −mean (σ(α) − 0.5)² of sigmoid
            (FairDARTS); ``none``.
        weight: Its factor (DrNAS: 1e-3; FairDARTS: 10).
    """

    kind: Literal["none", "kl", "kl-all", "zero-one"] = "none"
    weight: Rate = 1e-3


class RelaxationConfig(Section):
    """How α becomes operation weights.

    Args:
        kind: ``softmax``; ``sigmoid``; ``gumbel`` (one sampled operation per edge, GDAS);
            ``concrete`` (a sampled soft choice, SNAS); ``dirichlet`` (DrNAS); ``uniform-path`` (one
            architecture of the space, sampled uniformly regardless of α, RSPS); or ``module:Class``
            for a custom one.
        init: ``normal``: N(0, init_std); ``uniform-weight``: α₀ = −ln(n − 1), at which
            σ(α₀) = 1/n (Hou and Jin); ``auto``: normal, and uniform-weight for sigmoid.
        init_std: Standard deviation of ``normal``, and of the noise around ``uniform-weight`` if it
            is given; the paper has no such noise.
        temperature: τ of ``gumbel`` and ``concrete``.
        unsampled: How operations that ``gumbel`` did not sample enter the sum of their edge:
            ``left-out``: not at all, so that α receives the gradient of the sampled operation only;
            ``as-numbers``: as their weight, a scalar that is 0 and has a gradient; ``auto``: as in
            the authors' cells, left-out if the cell output is ``concat`` (DARTS), as-numbers if it
            is ``last`` (NAS-Bench-201).
        smoothing: Perturbation of the weights in w steps.
        partial_channels: K: 1/K of a node's channels passes through the operations, the others
            bypass them, then all are shuffled (PC-DARTS); 1 for all.
        edge_normalization: Whether each edge has a weight, softmax(β) over the edges into its node
            (PC-DARTS); a genotype then ranks by operation weight × edge weight.
        penalty: An additional term of α's loss.
        options: Keyword arguments of a custom class.
    """

    renamed: ClassVar[Mapping[str, str]] = {"edge_normalisation": "edge_normalization"}
    renamed_values: ClassVar[Mapping[str, Mapping[str, str]]] = {"kind": {"path": "uniform-path"}}

    kind: str = "softmax"
    init: Literal["auto", "normal", "uniform-weight"] = "auto"
    init_std: Rate | None = None
    temperature: TemperatureConfig = TemperatureConfig()
    unsampled: Literal["auto", "left-out", "as-numbers"] = "auto"
    smoothing: SmoothingConfig = SmoothingConfig()
    partial_channels: Channels = 1
    edge_normalization: bool = False
    penalty: PenaltyConfig = PenaltyConfig()
    options: dict[str, Any] = Field(default_factory=dict)

    @field_validator("kind")
    @classmethod
    def _known(cls, value: str) -> str:
        return check_part("relaxation.kind", value)

    @model_validator(mode="after")
    def _goes_together(self) -> RelaxationConfig:
        if self.options and manifest.is_shipped("relaxations", self.kind):
            raise ValueError(
                f"relaxation.options is given, but belongs to a class of your own, "
                f"not to '{self.kind}'"
            )
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
