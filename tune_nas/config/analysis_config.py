"""The YAML model of the analysis of a finished search."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, field_validator

from tune_nas.config.section import Epochs, Section


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
    """The analysis of a finished search: the strength of each operation on some edges.

    Args:
        edges: The edges, each as ``CELL:EDGE``, e.g. ``normal:0->2``.
        epochs: Number of tuning epochs for each operation, assumed to reach convergence.
    """

    edges: list[Annotated[str, AfterValidator(lambda text: ":".join(split_edge(text)))]] = Field(
        default_factory=list
    )
    epochs: Epochs = 5

    @field_validator("edges")
    @classmethod
    def _each_once(cls, value: list[str]) -> list[str]:
        return list(dict.fromkeys(value))
