"""The YAML model of the analyses of a search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field, field_validator

from tune_nas.config.decides import Decides
from tune_nas.config.section import Count, Epochs, Passes, Section, check_part

STRENGTH, DISCRETIZATION = "strength", "discretization"
BY_OPERATION = (STRENGTH, DISCRETIZATION)
"""The kinds of analysis that tune a finished search, an operation an epoch."""

_TUNING = (
    *("analysis.edges", "analysis.epochs", "selection.perturbation.batches"),
    "selection.perturbation.learning_rate_factor",
)
READS_OF_KIND: Mapping[str, tuple[str, ...]] = {
    STRENGTH: _TUNING,
    DISCRETIZATION: _TUNING,
    "gradient-correlation": ("analysis.batches",),
    "gradient-bias": ("analysis.batches",),
    "edge-shuffle": ("analysis.batches", "analysis.shuffles"),
    "skip-gap": (),
    "hessian": ("analysis.batches",),
}
"""The keys that the command of a shipped kind reads, besides those of every analysis."""
READS_OF_PROBE: Mapping[str, tuple[str, ...]] = {
    **{name: (*keys, "analysis.every") for name, keys in READS_OF_KIND.items() if name != STRENGTH},
    DISCRETIZATION: ("analysis.batches", "analysis.edges", "analysis.epochs", "analysis.every"),
}
"""The keys of the section ``analysis`` that a shipped kind reads as a probe."""


def split_edge(text: str) -> tuple[str, str]:
    """Return the cell type and the edge of ``CELL:EDGE``, without spaces.

    Raises:
        ValueError: If the text has another form.
    """
    cell, colon, edge = text.partition(":")
    if not colon or "->" not in edge:
        raise ValueError("must be written CELL:EDGE, e.g. 'normal:0->2' in quotes")
    return cell.strip(), edge.replace(" ", "")


class AnalysisConfig(Section):
    """The analyses of a search: ``tune-nas analyze``, and the analyses among its ``probes``.

    Args:
        kind: The analysis of the command: ``strength``, the strength of each operation on some
            edges; ``gradient-correlation``, ``gradient-bias``, ``discretization``,
            ``edge-shuffle``, ``skip-gap``, ``hessian``; or ``module:Class``.
        edges: The edges, each as ``CELL:EDGE``, e.g. ``normal:0->2``; empty for the first edge of
            each cell type (``discretization``).
        epochs: Number of tuning epochs for each operation, assumed to reach convergence.
        batches: Number of batches of each half; None for 8 in analyses of gradients, for 1 in
            ``hessian``, and for all images elsewhere.
        shuffles: Number of shuffles of the edges.
        every: A probe measures after every this many epochs, and after the last one.
    """

    kind: str = STRENGTH
    edges: list[Annotated[str, AfterValidator(lambda text: ":".join(split_edge(text)))]] = Field(
        default_factory=list
    )
    epochs: Epochs = 5
    batches: Passes | None = None
    shuffles: Count = 5
    every: Annotated[Epochs, Decides.NOTHING] = 1  # of probes

    @field_validator("kind")
    @classmethod
    def _known(cls, value: str) -> str:
        return check_part("analysis.kind", value)

    @field_validator("edges")
    @classmethod
    def _each_once(cls, value: list[str]) -> list[str]:
        return list(dict.fromkeys(value))
