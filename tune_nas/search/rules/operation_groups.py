"""Groups of operations of which a stage has a representative, and the next one all.

Li et al., "StacNAS: Towards Stable and Consistent Differentiable Neural Architecture Search",
arXiv:1909.11926.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from tune_nas.errors import ConfigError
from tune_nas.spaces import CellSpace, Space

Groups = Sequence[Sequence[str]]
"""Names of operations by group."""


def check_names(key: str, groups: Groups, space: Space) -> None:
    """Check that the operations of groups occur in a space.

    Args:
        key: The key that has the groups.
        groups: The groups.
        space: The space.

    Raises:
        ConfigError: If one does not; names all that do.
    """
    known = dict.fromkeys(
        name for cell in space.cells.values() for names in cell.operations for name in names
    )
    for group in groups:
        for name in group:
            if name not in known:
                raise ConfigError(
                    f"{key} has '{name}', but the operations of space '{space.name}' are "
                    f"{', '.join(known)}"
                )


def representatives(cell: CellSpace, groups: Groups) -> Tensor:
    """Return the mask of one operation per group and of those of no group, (edges, operations).

    It is the first operation of the group that the edge has and a genotype may have; the first that
    the edge has if a genotype may have none of them.
    """
    mask = cell.mask()
    for row, columns_by_group in enumerate(_by_edge(cell, groups)):
        for columns in columns_by_group:
            mask[row, columns] = False
            mask[row, _representative(cell, row, columns)] = True
    return mask


def opened(cell: CellSpace, groups: Groups, weights: Tensor, count: int) -> Tensor:
    """Return the mask of the operations of the strongest groups and of those of no group.

    Groups of which a genotype may have an operation come first; ties go to the first group.

    Args:
        cell: The cell type.
        groups: The groups.
        weights: Operation weights, (edges, operations), of which those of representatives count.
        count: Number of groups per edge.
    """
    mask, eligible = cell.mask(), cell.eligible()
    for row, columns_by_group in enumerate(_by_edge(cell, groups)):

        def strength(columns: list[int], row: int = row) -> tuple[bool, float]:
            best = _representative(cell, row, columns)
            return bool(eligible[row, best]), float(weights[row, best])

        ranked = sorted(columns_by_group, key=strength, reverse=True)
        for columns in ranked[count:]:
            mask[row, columns] = False
    return mask


def _by_edge(cell: CellSpace, groups: Groups) -> list[list[list[int]]]:
    """Return the columns of each group on each edge, without groups that do not occur on it."""
    found = []
    for names in cell.operations:
        columns = [[names.index(name) for name in group if name in names] for group in groups]
        found.append([own for own in columns if own])
    return found


def _representative(cell: CellSpace, row: int, columns: list[int]) -> int:
    eligible = cell.eligible()[row]
    return next((column for column in columns if eligible[column]), columns[0])
