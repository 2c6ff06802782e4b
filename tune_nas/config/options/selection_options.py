"""The options of the selections."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tune_nas.config.section import Count, CountOrNone, Epochs, Passes, Positive, Section


class MagnitudeOptions(Section):
    """Options of ``magnitude`` (DARTS).

    Args:
        max_skips: Maximum number of skip connections by cell type; the weakest are replaced by the
            next operation (P-DARTS: normal 2).
        rank_by: How operations and edges are ranked: by the relaxation's expected ``weights``, or
            by ``softmax``: softmax(α) regardless of the relaxation, as in the code of DrNAS. Both
            give the same order on one edge but often not across edges.
    """

    max_skips: dict[str, CountOrNone] = Field(default_factory=dict)
    rank_by: Literal["weights", "softmax"] = "weights"


class PerturbationOptions(Section):
    """Options of ``perturbation`` (DARTS-PT, arXiv:2108.04392, Algorithm 1).

    Args:
        criterion: How the removal of an operation is judged: by validation ``accuracy`` or by
            validation ``loss`` of the supernet without it.
        order: Order in which edges are decided: ``random`` or ``fixed`` (as in the space).
        edges: How the edges of a node are compared: ``alone``: each is removed by itself, and the
            edges whose removal costs most are kept (Algorithm 1); ``one-by-one``: the least harmful
            edge is removed, and the others are evaluated again without it.
        interval: Number of tuning epochs between decisions.
        learning_rate_factor: Learning rate of the tuning as a fraction of w's initial one.
        batches: Number of validation batches per evaluation; None for all validation images.
    """

    criterion: Literal["accuracy", "loss"] = "accuracy"
    order: Literal["random", "fixed"] = "random"
    edges: Literal["alone", "one-by-one"] = "alone"
    interval: Epochs = 5
    learning_rate_factor: Positive = 0.1
    batches: Count | None = None


class SampledOptions(Section):
    """Options of ``sampled``: the best of many genotypes (RSPS, arXiv:1902.07638).

    Args:
        candidates: ``uniform``: sampled uniformly (RSPS), or from the controller if there is one
            (ENAS); ``most-probable``: those with the largest probabilities by α, without sampling
            (SETN, arXiv:1910.11831).
        genotypes: Number of genotypes at the end of each epoch.
        batches: Number of validation batches that each is evaluated on.
    """

    candidates: Literal["uniform", "most-probable"] = "uniform"
    genotypes: Passes = 100
    batches: Count = 1
