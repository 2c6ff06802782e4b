"""The options of the optimizers of α."""

from __future__ import annotations

from tune_nas.config.section import Decay, Positive, Rate, Section


class DecayOptions(Section):
    """The options of all shipped optimizers of α."""

    weight_decay: Rate = 1e-3


class _RateOptions(Section):
    learning_rate: Rate = 3e-4


class _OfBoth(DecayOptions, _RateOptions):
    pass


class AdamOptions(_OfBoth):
    """Options of ``adam``.

    Args:
        learning_rate: Learning rate, constant over the epochs.
        weight_decay: Weight decay, as an L2 term of the gradient.
        betas: Decay of the averages of the gradient and of its square.
        epsilon: Term added to the root of the latter, which divides the step.
    """

    betas: tuple[Decay, Decay] = (0.5, 0.999)
    epsilon: Positive = 1e-8


class SgdOptions(_OfBoth):
    """Options of ``sgd`` (Hou and Jin, Table 1).

    Args:
        learning_rate: Learning rate, constant over the epochs.
        weight_decay: Weight decay, as an L2 term of the gradient.
        momentum: Decay of the average of the gradients.
    """

    momentum: Rate = 0.9
