"""Relaxations: how α becomes the operation weights of the supernet."""

from tune_nas.search.relaxation import concrete as _concrete  # noqa: F401  (registers)
from tune_nas.search.relaxation import dirichlet as _dirichlet  # noqa: F401
from tune_nas.search.relaxation import gumbel as _gumbel  # noqa: F401
from tune_nas.search.relaxation import path as _path  # noqa: F401
from tune_nas.search.relaxation import plain as _plain  # noqa: F401
from tune_nas.search.relaxation.base import (
    Alphas,
    Betas,
    Relaxation,
    Sample,
    initialization,
    make_relaxation,
    register_relaxation,
    relaxation_names,
    runs_everything,
    softmax_where,
)

__all__ = [
    "Alphas",
    "Betas",
    "Relaxation",
    "Sample",
    "initialization",
    "make_relaxation",
    "register_relaxation",
    "relaxation_names",
    "runs_everything",
    "softmax_where",
]
