"""The options of the relaxation ``controller`` and of the update that trains it (ENAS)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tune_nas.config.section import Decay, Passes, Positive, Rate, Section


class ControllerConfig(Section):
    """The LSTM that samples an operation per edge (ENAS).

    Args:
        hidden: Size of its states and of the embeddings of operations.
        layers: Number of its layers.
        logit_divisor: Divisor of the logits before the tanh (``temperature`` in the code).
        tanh_scale: Bound of the logits: they are ``tanh_scale · tanh(logits / logit_divisor)``.
    """

    hidden: Annotated[int, Field(ge=1, le=4096)] = 32
    layers: Annotated[int, Field(ge=1, le=16)] = 2
    logit_divisor: Positive = 5.0
    tanh_scale: Positive = 2.5


class ControllerOptions(Section):
    """Options of ``controller``.

    Args:
        controller: The LSTM.
    """

    controller: ControllerConfig = ControllerConfig()


class PolicyConfig(Section):
    """Training of the controller by REINFORCE at the end of each epoch (level ``policy``).

    Args:
        steps: Optimizer steps per epoch.
        samples: Sampled architectures per step, each evaluated on another validation batch.
        entropy_weight: Factor of the entropy of a sample in its reward.
        baseline_decay: Decay of the moving average of the rewards, which is subtracted from them.
        clip: Maximum norm of the gradient; 0 for no clipping.
    """

    steps: Passes = 50
    samples: Passes = 20
    entropy_weight: Rate = 1e-4
    baseline_decay: Decay = 0.99
    clip: Rate = 5.0
