"""The ``optimizer`` section of a trial: the optimizers of w and of α."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import field_validator, model_validator

from tune_nas.config.decides import Decides
from tune_nas.config.options.exponentiated_options import ExponentiatedOptions
from tune_nas.config.options.optimizer_options import AdamOptions, SgdOptions
from tune_nas.config.part_section import PartSection
from tune_nas.config.section import Rate, Section, check_part

_OF_WEIGHT_DECAY = Decides.SEARCH | Decides.LENGTH  # of rollbacks that increase it


class WeightsOptimizer(Section):
    """SGD on w, with a cosine learning rate over the epochs.

    Args:
        clip: Maximum norm of the w gradient; 0 for no clipping. α is never clipped.
        unsampled: Treatment of weights without a gradient (of operations that were not run):
            ``keep``: unchanged; ``update``: momentum and weight decay change them after the first
            step in which they had a gradient (as in PyTorch before 2.0, whose ``zero_grad`` left
            zero gradients).
    """

    learning_rate: Rate = 0.025
    learning_rate_min: Rate = 0.001
    momentum: Rate = 0.9
    nesterov: bool = False
    weight_decay: Annotated[Rate, _OF_WEIGHT_DECAY] = 3e-4
    clip: Rate = 5.0
    unsampled: Literal["keep", "update"] = "keep"

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> WeightsOptimizer:
        if self.nesterov and self.momentum == 0:
            raise ValueError(
                "optimizer.weights.nesterov is true, but needs optimizer.weights.momentum > 0"
            )
        return self


class _AlphasOptimizerKind(PartSection):
    section = "optimizer.alphas"

    kind: str = "adam"

    @field_validator("kind")
    @classmethod
    def _known(cls, value: str) -> str:
        return check_part("optimizer.alphas.kind", value, "module:function")


class AlphasOptimizer(ExponentiatedOptions, SgdOptions, AdamOptions, _AlphasOptimizerKind):
    """The optimizer of α, with a constant learning rate.

    The options of the shipped ones are keys of this section.

    Args:
        kind: ``adam``; ``sgd`` (Hou and Jin, Table 1); ``exponentiated`` (a multiplicative step for
            α on the simplex, GAEA, XNAS); or ``module:function`` for a custom one.
    """

    @model_validator(mode="after")
    def _step_and_decay_fit(self) -> AlphasOptimizer:
        if self.kind != "exponentiated":
            return self
        if self.step_rule == "regret" and self.reward_bound is None:
            raise ValueError(
                "optimizer.alphas.step_rule is 'regret', but needs optimizer.alphas.reward_bound, "
                "e.g. 1"
            )
        shrinks = self.step_size * self.weight_decay
        if self.step_rule == "constant" and shrinks >= 1:
            raise ValueError(
                f"optimizer.alphas.step_size × weight_decay is {shrinks:g}, but must be < 1: a "
                "step multiplies log α by 1 − it"
            )
        return self


class OptimizerConfig(Section):
    """The two optimizers of a search."""

    weights: WeightsOptimizer = WeightsOptimizer()
    alphas: AlphasOptimizer = AlphasOptimizer()
