"""The ``selection`` section of a trial: how a genotype is derived from the supernet."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from tune_nas import manifest
from tune_nas.config.section import (
    Count,
    CountOrNone,
    Epochs,
    Passes,
    Positive,
    Section,
    check_part,
)


class PerturbationConfig(Section):
    """Selection by perturbation (DARTS-PT, arXiv:2108.04392, Algorithm 1).

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


class SampledConfig(Section):
    """The best of sampled genotypes by the supernet's weights (RSPS, arXiv:1902.07638).

    Args:
        genotypes: Number of genotypes sampled at the end of each epoch.
        batches: Number of validation batches that each is evaluated on.
    """

    genotypes: Passes = 100
    batches: Count = 1


class SelectionConfig(Section):
    """How a genotype is derived from the supernet.

    Args:
        kind: ``magnitude`` (the largest weights, DARTS); ``greedy`` (the decisions of
            ``schedule.greedy``, SGAS); ``perturbation`` (DARTS-PT); ``sampled`` (RSPS); or
            ``module:Class`` for a custom one.
        max_skips: Maximum number of skip connections by cell type; the weakest are replaced by the
            next operation (P-DARTS: normal 2).
        rank_by: How ``magnitude`` ranks operations and edges: by the relaxation's expected
            ``weights``, or by ``softmax``: softmax(α) regardless of the relaxation, as in the code
            of DrNAS. Both give the same order on one edge but often not across edges.
        perturbation: Settings of this kind.
        sampled: Settings of this kind.
        options: Keyword arguments of a custom class.
    """

    kind: str = "magnitude"
    max_skips: dict[str, CountOrNone] = Field(default_factory=dict)
    rank_by: Literal["weights", "softmax"] = "weights"
    perturbation: PerturbationConfig = PerturbationConfig()
    sampled: SampledConfig = SampledConfig()
    options: dict[str, Any] = Field(default_factory=dict)

    @field_validator("kind")
    @classmethod
    def _known(cls, value: str) -> str:
        return check_part("selection.kind", value)

    @model_validator(mode="after")
    def _goes_together(self) -> SelectionConfig:
        if self.options and manifest.is_shipped("selections", self.kind):
            raise ValueError(
                f"selection.options is given, but belongs to a class of your own, "
                f"not to '{self.kind}'"
            )
        if self.max_skips and self.kind != "magnitude":
            raise ValueError(
                f"selection.max_skips is given, but belongs to selection.kind 'magnitude', "
                f"not '{self.kind}'"
            )
        if self.rank_by != "weights" and self.kind != "magnitude":
            raise ValueError(
                f"selection.rank_by is '{self.rank_by}', but belongs to selection.kind "
                f"'magnitude', not '{self.kind}'"
            )
        return self
