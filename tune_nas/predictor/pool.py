"""What a predictor is trained on."""

from __future__ import annotations

from typing import NamedTuple

from tune_nas.spaces import Genotype


class Observation(NamedTuple):
    """A genotype of the pool and its score at the highest level it reached.

    Args:
        genotype: The genotype.
        level: 0 for a training-free proxy; i for a training up to e(i).
        score: The proxy's score at level 0, else the validation accuracy; higher is better.
    """

    genotype: Genotype
    level: int
    score: float
