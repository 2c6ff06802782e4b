"""The ``selection`` section of a trial: how a genotype is read off the supernet."""

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
        criterion: What the supernet loses most of without the operation: valid ``accuracy``, or
            (the least) valid ``loss``.
        order: The order in which edges are decided: ``random``, or ``fixed``: as in the space.
        edges: How the edges of a node are compared: ``alone``: each is removed by itself, and the
            edges whose removal costs most stay (Algorithm 1); ``one-by-one``: the least harmful
            edge is removed, and the others are evaluated again without it.
        interval: Epochs of tuning from one decision to the next.
        learning_rate_factor: Tuning has that share of w's first learning rate.
        batches: Valid batches of an evaluation; None for all images of the valid half.
    """

    criterion: Literal["accuracy", "loss"] = "accuracy"
    order: Literal["random", "fixed"] = "random"
    edges: Literal["alone", "one-by-one"] = "alone"
    interval: Epochs = 5
    learning_rate_factor: Positive = 0.1
    batches: Count | None = None


class SampledConfig(Section):
    """The best of sampled genotypes, judged with the supernet's weights (RSPS, arXiv:1902.07638).

    Args:
        genotypes: How many are sampled at the end of each epoch.
        batches: Valid batches that each is judged on.
    """

    genotypes: Passes = 100
    batches: Count = 1


class SelectionConfig(Section):
    """How a genotype is read off the supernet.

    Args:
        kind: ``magnitude`` (the largest weights, DARTS); ``greedy`` (what ``schedule.greedy`` has
            decided, SGAS); ``perturbation`` (DARTS-PT); ``sampled`` (RSPS); or ``module:Class`` of
            your own.
        max_skips: By cell type: at most that many skip connections; the weakest give way to the
            next operation (P-DARTS: normal 2).
        rank_by: What ``magnitude`` ranks operations and edges by: the relaxation's expected
            ``weights``, or ``softmax``: softmax(α) whatever the relaxation is, as the code of DrNAS
            does. On one edge both have the same order, among edges they often have not.
        perturbation: Settings of that kind.
        sampled: Settings of that kind.
        options: Keyword arguments of a class of your own.
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
