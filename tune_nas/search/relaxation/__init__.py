"""Relaxations: how α becomes the operation weights of the supernet."""

from tune_nas.search.relaxation.relaxation import (
    Alphas,
    AlphaStep,
    Betas,
    Relaxation,
    Sample,
    initialization,
    log_softmax_where,
    make_relaxation,
    register_relaxation,
    relaxation_names,
    runs_everything,
    softmax_where,
)

__all__ = [
    "AlphaStep",
    "Alphas",
    "Betas",
    "Relaxation",
    "Sample",
    "initialization",
    "log_softmax_where",
    "make_relaxation",
    "register_relaxation",
    "relaxation_names",
    "runs_everything",
    "softmax_where",
]
