"""Remove operations that cannot win any more.

Nayman et al., "XNAS: Neural Architecture Search with Expert Advice", NeurIPS 2019,
arXiv:1906.08031, the wipe-out of its Algorithm 1; read in microsoft/archai.
"""

from __future__ import annotations

import csv
import io
import math
from typing import NamedTuple

import torch
from torch import Tensor

from tune_nas.checkpoint import State
from tune_nas.search.exponentiated import alpha_steps, step_size
from tune_nas.search.rules.rule import Rule
from tune_nas.search.shares import operation_weights
from tune_nas.search.view import SearchControl

_MOST_NAMED = 3  # of the operations of a cell type in a line about an epoch


class Removal(NamedTuple):
    """An operation that was removed from an edge.

    Args:
        epoch: The epoch in which it was removed (1-based).
        cell: The cell type.
        edge: E.g. ``0->2``.
        operation: The operation.
    """

    epoch: int
    cell: str
    edge: str
    operation: str


class WipeOut(Rule):
    """Removes operations with a weight below max · exp(−factor · 2ηL(T − t)) after each epoch.

    t of T steps of α have been made. In each step, the log ratio of the weights of two operations
    changes by at most 2ηL, so that at factor 1, and without weight decay, an operation below the
    bound can no longer become the largest. XNAS removes after each step; we do after each epoch,
    and not after the last one, when all but the largest would be below. The last operation that a
    genotype may have always remains, and so do the operations of decided edges.

    Args:
        search: The search.
    """

    def __init__(self, search: SearchControl) -> None:
        super().__init__(search)
        wipe_out, bound = search.trial.schedule.wipe_out, search.trial.optimizer.alphas.reward_bound
        assert wipe_out is not None and bound is not None
        # at the size of the first epoch, as the optimizer
        size = step_size(search.trial, search.space, search.steps_per_epoch)
        self._per_step = wipe_out.factor * 2.0 * size * bound
        self._removed: list[Removal] = []

    def after_epoch(self, metrics: dict[str, float]) -> None:
        """Remove operations, and report the number removed so far by cell type."""
        search = self.search
        margin = self._margin()
        for name, cell in search.space.cells.items():
            if margin is not None:
                remaining = search.choices.remaining(name)
                weights = operation_weights(search, name, remaining)
                kept = survivors(weights, remaining, cell.eligible(), margin)
                kept |= search.choices.decided(name)[:, None]
                self._note(name, remaining & ~kept)
                if not bool(kept[remaining].all()):
                    search.keep(name, kept)
            metrics[f"wiped_out/{name}"] = sum(gone.cell == name for gone in self._removed)

    def _margin(self) -> float | None:
        """Return the largest log ratio that can still be made up for; None if none counts."""
        search = self.search
        if search.epoch >= search.search_epochs or not search.moves_alphas(search.epoch - 1):
            return None
        per_epoch = search.steps_per_epoch
        total = alpha_steps(search.trial, per_epoch)
        left = total - alpha_steps(search.trial, per_epoch, search.epoch)
        return self._per_step * left

    def _note(self, name: str, gone: Tensor) -> None:
        cell = self.search.space.cells[name]
        self._removed += [
            Removal(self.search.epoch, name, str(cell.edges[row]), cell.operations[row][column])
            for row, column in gone.nonzero().tolist()
        ]

    def remarks(self) -> list[str]:
        """Return the operations removed after the last epoch, or their number if there are many."""
        texts = []
        for name in self.search.space.cells:
            last = [
                gone
                for gone in self._removed
                if (gone.cell, gone.epoch) == (name, self.search.epoch)
            ]
            if len(last) <= _MOST_NAMED:
                texts += [f"{name} {gone.edge} without {gone.operation}" for gone in last]
            else:
                edges = len({gone.edge for gone in last})
                texts.append(f"{name} without {len(last)} operations of {edges} edges")
        return texts

    def files(self) -> dict[str, str]:
        """Return ``wiped_out.csv``, a line per removed operation, once there is one."""
        if not self._removed:
            return {}
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([Removal._fields, *self._removed])
        return {"wiped_out.csv": text.getvalue()}

    def state_dict(self) -> State:
        """Return the removed operations."""
        return {"removed": [list(gone) for gone in self._removed]}

    def load_state_dict(self, state: State) -> None:
        """Restore them."""
        self._removed = [Removal(*gone) for gone in state["removed"]]


def survivors(weights: Tensor, remaining: Tensor, eligible: Tensor, margin: float) -> Tensor:
    """Return the mask of the operations that can still win, (edges, operations), bool.

    The strongest operation that a genotype may have is always among them.

    Args:
        weights: Operation weights, (edges, operations).
        remaining: Mask of the operations of each edge, likewise, bool.
        eligible: Mask of the operations that a genotype may have, likewise.
        margin: Largest log ratio to the strongest weight.
    """
    values = weights.masked_fill(~remaining, -math.inf)
    kept = remaining & (values >= values.max(dim=1, keepdim=True).values * math.exp(-margin))
    possible = remaining & eligible
    strongest = values.masked_fill(~possible, -math.inf).argmax(dim=1, keepdim=True)
    return kept | (torch.zeros_like(kept).scatter(1, strongest, True) & possible)
