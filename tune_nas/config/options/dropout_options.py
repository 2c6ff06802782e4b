"""The options of the relaxation ``dropout``."""

from __future__ import annotations

from typing import Literal

from tune_nas.config.section import Decay, Section


class DropoutConfig(Section):
    """Dropout of the operations of an edge, sampled in every pass.

    Each operation of a group of n is dropped with probability rate^(1/n), sampled again until at
    least one of the group is kept. The rate is thus the probability that a sample is repeated.

    Args:
        rate: The rate (DropNAS: 3e-5, i.e. 0.074 for each of 4 operations).
        groups: ``parameters``: the operations of an edge with parameters (kind ``convolution``)
            and those without are two groups (DropNAS); ``none``: all of them are one group.
    """

    rate: Decay = 3e-5
    groups: Literal["parameters", "none"] = "parameters"


class DropoutOptions(Section):
    """Options of ``dropout`` (DropNAS).

    Args:
        dropout: Probability and groups of the dropped operations.
    """

    dropout: DropoutConfig = DropoutConfig()
