"""The ``selection`` section of a trial: how a genotype is derived from the supernet."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator, model_validator

from tune_nas.config.options.selection_options import (
    MagnitudeOptions,
    PerturbationOptions,
    SampledOptions,
)
from tune_nas.config.part_section import PartSection
from tune_nas.config.section import check_part


class _SelectionKind(PartSection):
    section = "selection"

    kind: str = "magnitude"

    @field_validator("kind")
    @classmethod
    def _known(cls, value: str) -> str:
        return check_part("selection.kind", value)


class SelectionConfig(MagnitudeOptions, _SelectionKind):
    """How a genotype is derived from the supernet.

    The options of ``magnitude`` are keys of this section.

    Args:
        kind: ``magnitude`` (the largest weights, DARTS); ``greedy`` (the decisions of
            ``schedule.greedy``, SGAS); ``perturbation`` (DARTS-PT); ``sampled`` (RSPS, SETN, ENAS);
            or ``module:Class`` for a custom one.
        perturbation: Options of ``perturbation``.
        sampled: Options of ``sampled``.
        options: Keyword arguments of a custom class; of a shipped selection, another spelling of
            the keys that hold its options.
    """

    perturbation: PerturbationOptions = PerturbationOptions()
    sampled: SampledOptions = SampledOptions()
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _goes_together(self) -> SelectionConfig:
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
