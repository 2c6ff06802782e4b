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
    """Perturbation of the operation weights while w steps (SDARTS, arXiv:2002.05283).

    Args:
        kind: ``random``: uniform within the radius (SDARTS-RS); ``adversarial``: the worst found
            within it by projected gradient (SDARTS-ADV); ``none``; or ``module:Class`` of your own.
        start: Radius ε before the first epoch; it grows linearly by epoch.
        end: Radius after the last epoch, and while a selection tunes.
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
    """A term that α's loss has besides cross-entropy.

    Args:
        kind: ``kl``: KL(Dir(elu(α) + 1) ‖ Dir(1)) of dirichlet (DrNAS), over the operations that
            open edges still have; ``kl-all``: over all operations of all edges, also those that
            were pruned, as the code of DrNAS has it; ``zero-one``: −mean (σ(α) − 0.5)² of sigmoid
            (FairDARTS); ``none``.
        weight: Its factor (DrNAS: 1e-3; FairDARTS: 10).
    """

    kind: Literal["none", "kl", "kl-all", "zero-one"] = "none"
    weight: Rate = 1e-3


class RelaxationConfig(Section):
    """How α becomes operation weights.

    Args:
        kind: ``softmax``; ``sigmoid``; ``gumbel`` (one drawn operation per edge, GDAS);
            ``concrete`` (a drawn soft choice, SNAS); ``dirichlet`` (DrNAS); ``uniform-path`` (one
            architecture of the space, drawn uniformly whatever α is, RSPS); or ``module:Class`` of
            your own.
        init: ``normal``: N(0, init_std); ``uniform-weight``: α₀ = −ln(n − 1), at which
            σ(α₀) = 1/n (Hou and Jin); ``auto``: normal, and uniform-weight for sigmoid.
        init_std: Standard deviation of ``normal``, and of the noise around ``uniform-weight``
            where it is given; the paper has none there.
        temperature: τ of ``gumbel`` and ``concrete``.
        unsampled: How operations that ``gumbel`` did not sample enter the sum of their edge:
            ``left-out``, so that α has the gradient of the sampled operation alone;
            ``as-numbers``: as their weight, a number, which is 0 and has a gradient; ``auto``: as
            the authors' cells do it, left-out in cells whose output is ``concat`` (DARTS's), as
            numbers where it is ``last`` (NAS-Bench-201's).
        smoothing: Perturbation of the weights while w steps.
        partial_channels: K: one K-th of a node's channels goes through the operations, the others
            around them, then all are shuffled (PC-DARTS); 1 for all.
        edge_normalization: Whether each edge has a weight, softmax(β) over the edges into its node
            (PC-DARTS); a genotype then ranks by operation weight × edge weight.
        penalty: A further term of α's loss.
        options: Keyword arguments of a class of your own.
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
