"""Relaxations: how α becomes the operation weights of the supernet."""

from tune_nas.search.relaxation import plain as _plain  # noqa: F401  (registers)
from tune_nas.search.relaxation.base import (
    Alphas,
    Betas,
    Relaxation,
    Sample,
    make_relaxation,
    register_relaxation,
    relaxation_names,
    softmax_where,
)

__all__ = [
    "Alphas",
    "Betas",
    "Relaxation",
    "Sample",
    "make_relaxation",
    "register_relaxation",
    "relaxation_names",
    "softmax_where",
]
