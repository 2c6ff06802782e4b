"""The options of the multiplicative optimizer of α and of the rule that goes with it."""

from __future__ import annotations

from typing import Literal

from tune_nas.config.options.optimizer_options import DecayOptions
from tune_nas.config.section import Positive, Section


class ExponentiatedOptions(DecayOptions):
    """Options of ``exponentiated``: α ← α · exp(−η (g + decay · log α)) (GAEA, XNAS).

    Args:
        step_size: η of ``step_rule: constant`` (GAEA: 0.1). It has its own key, because it is not
            on the scale of the learning rates of other optimizers.
        step_rule: ``constant``: η is ``step_size``; ``regret``: √(2 ln N / (T L²)) for N operations
            per edge, T steps of α in the trial and L = ``reward_bound`` (XNAS).
        weight_decay: Weight decay, as a term Σ α log α of the loss (the negative entropy), times
            it, so that α is pulled toward the uniform distribution.
        reward_bound: L: bound of each entry of the gradient, which is clipped to [−L, L]; None for
            no bound.
    """

    step_size: Positive = 0.1
    step_rule: Literal["constant", "regret"] = "constant"
    reward_bound: Positive | None = None


class WipeOutOptions(Section):
    """Options of ``wipe_out``: remove operations that cannot win any more (XNAS).

    Args:
        factor: Factor of the bound 2 η L (T − t) on the change of a log ratio of weights (XNAS: 1);
            at less than 1, operations that could still win are removed, too.
    """

    factor: Positive = 1.0
