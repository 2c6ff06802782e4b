"""The options of the relaxation ``categorical``."""

from __future__ import annotations

from typing import Literal

from tune_nas.config.section import Passes, Section


class CategoricalOptions(Section):
    """Options of ``categorical``: the gradient of α through sampled operations.

    Args:
        gradient: ``score``: the gradient of the sampled operation's gate times that of its log
            probability (DSNAS); ``full``: the gradients of all gates through the probabilities, so
            that α's passes run all operations (ProxylessNAS); ``two``: the same with two sampled
            operations per edge, whose α are then shifted so that the probabilities of the others
            stay (ProxylessNAS); ``importance``: several architectures per step, weighted by their
            likelihood (PARSEC).
        samples: K, the number of architectures that ``importance`` samples in a step.
        likelihood: The likelihood that weights them: of the whole ``batch``, the product over its
            images, or of an ``image``, their geometric mean.
    """

    gradient: Literal["score", "full", "two", "importance"] = "score"
    samples: Passes = 8
    likelihood: Literal["batch", "image"] = "batch"
