"""Genotypes as the notations read and write them: plain lists of edges."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from tune_nas import manifest
from tune_nas.errors import GenotypeError
from tune_nas.spaces.operation_registry import is_own_operation, operation_names

Cells = dict[str, list[tuple[int, int, str]]]
"""Edges as (source, target, operation) by cell type."""

# NASLib (primitives' class names, `nasbench201/conversions.py`, `nasbench301/conversions.py`); its
# class names of pooling have changed over its versions.
_OTHER_NAMES = {
    "Identity": "skip_connect",
    "FactorizedReduce": "skip_connect",
    "Zero": "none",
    "zero": "none",
    "AvgPool": "avg_pool_3x3",
    "AvgPool1x1": "avg_pool_3x3",
    "AvgPool3x3": "avg_pool_3x3",
    "MaxPool": "max_pool_3x3",
    "MaxPool1x1": "max_pool_3x3",
    "MaxPool3x3": "max_pool_3x3",
    "SepConv3x3": "sep_conv_3x3",
    "SepConv5x5": "sep_conv_5x5",
    "DilConv3x3": "dil_conv_3x3",
    "DilConv5x5": "dil_conv_5x5",
    "ReLUConvBN1x1": "nor_conv_1x1",
    "ReLUConvBN3x3": "nor_conv_3x3",
}


@dataclass(frozen=True)
class Reading:
    """A genotype as read from a text.

    Args:
        cells: Edges by cell type.
        space: Name of its space.
        assumed: Whether the text does not name its space, so that the usual one of its notation is
            used.
    """

    cells: Cells
    space: str
    assumed: bool


def operation_name(name: str) -> str:
    """Return the registered name of an operation that has another name in another project.

    Raises:
        GenotypeError: If it is not known; starts with ``unknown operation``.
    """
    # A custom one is known here, too: a space must load it.
    if is_own_operation(name) or manifest.is_known("operations", name):
        return name
    if name in _OTHER_NAMES:
        return _OTHER_NAMES[name]
    known = operation_names()
    near = difflib.get_close_matches(name, [*known, *_OTHER_NAMES], n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
    raise GenotypeError(f"unknown operation '{name}'; {hint}")
