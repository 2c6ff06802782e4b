"""Smoothing: w is trained at perturbed operation weights around those of α.

Chen and Hsieh, "Stabilizing Differentiable Architecture Search via Perturbation-based
Regularization" (SDARTS), ICML 2020, arXiv:2002.05283; settings of the authors' code.
"""

from __future__ import annotations

from tune_nas.config import SmoothingConfig
from tune_nas.search.plugins import running_own_code
from tune_nas.search.smoothing.adversarial import AdversarialSmoothing
from tune_nas.search.smoothing.random import RandomSmoothing
from tune_nas.search.smoothing.smoothing import Smoothing
from tune_nas.user_code import load_class

__all__ = ["AdversarialSmoothing", "RandomSmoothing", "Smoothing", "make_smoothing"]


def make_smoothing(config: SmoothingConfig) -> Smoothing | None:
    """Build the smoothing that a trial names; None for none.

    Raises:
        ConfigError: If it is a custom class that cannot be imported.
    """
    if config.kind == "none":
        return None
    key = "relaxation.smoothing.kind"
    kind: type[Smoothing] = load_class(key, config.kind, Smoothing)
    with running_own_code(key, config.kind):
        return kind(config)
