"""The selection of the decisions that were made during the search."""

from __future__ import annotations

from dataclasses import replace

from tune_nas.search.selection.magnitude import select_by_magnitude
from tune_nas.search.selection.selection import Selection
from tune_nas.search.view import SearchView
from tune_nas.spaces import Genotype


class Decided(Selection):
    """The edges that ``schedule.greedy`` has decided (SGAS, arXiv:1912.00195, Sec. 3.2)."""

    reads_alpha = True

    def genotype(self) -> Genotype:
        """Return the decisions so far, and the largest weights of open edges."""
        return read_decided(self.search)


def read_decided(search: SearchView) -> Genotype:
    """Return a genotype in which decided edges come first, and the largest weights after them."""
    weights = dict(search.expected_weights())
    for name, cell in weights.items():
        operations = cell.operations
        if cell.edges is not None:
            operations = operations * cell.edges[:, None]
        chosen = search.choices.decided(name)[:, None] & search.choices.remaining(name)
        operations = operations.masked_fill(chosen.to(operations.device), float("inf"))
        weights[name] = replace(cell, operations=operations, edges=None)
    return select_by_magnitude(search.space, weights)
