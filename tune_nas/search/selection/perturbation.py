"""Selection by perturbation: choose the operations whose removal hurts the supernet most.

Wang et al., "Rethinking Architecture Selection in Differentiable NAS" (DARTS-PT), ICLR 2021,
arXiv:2108.04392, Algorithm 1; unspecified details follow the authors' code.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import torch

from tune_nas.checkpoint import State
from tune_nas.config import TrialConfig
from tune_nas.search.ablation import (
    Evaluation,
    chosen_of,
    perturbed_choice,
    without_edges,
    without_operations,
)
from tune_nas.search.selection.tuning import Tuning
from tune_nas.search.view import SearchControl, SearchView
from tune_nas.seeds import make_generator
from tune_nas.spaces import CellSpace, load_space

__all__ = ["Perturbation", "perturbed_choice"]

_COLUMNS = ("epoch", "cell", "edge", "without", "accuracy", "loss", "chosen")


class Perturbation(Tuning):
    """Decides edge by edge, then removes surplus edges node by node, and tunes in between.

    Every ``selection.perturbation.interval`` epochs, one decision is made in every cell type: first
    the operation of every edge; then, for each node with more edges than a genotype keeps, the
    edges to keep, according to ``selection.perturbation.edges``.

    If ``schedule.greedy`` decides all edges during the search, nothing remains to be decided: those
    decisions choose their operations by perturbation.
    """

    def __init__(self, search: SearchControl) -> None:
        super().__init__(search)
        self._evaluations: list[list[object]] = []

    @classmethod
    def tuning_of(cls, trial: TrialConfig) -> int:
        """Return interval · (decisions − 1) + 1: one epoch after the last decision."""
        if trial.schedule.greedy is not None:
            return 0
        space = load_space(trial.space.name)
        decisions = max(_decisions(cell) for cell in space.cells.values())
        return trial.selection.perturbation.interval * (decisions - 1) + 1

    def choose(self, cell: str, row: int) -> int:
        """Return the operation whose removal hurts the supernet most."""
        return perturbed_choice(self.search, cell, row)

    def decide(self, epoch: int) -> None:
        """Make the next decision of each cell type, if one is due."""
        if epoch % self.search.trial.selection.perturbation.interval == 0:
            for name, cell in self.search.space.cells.items():
                self._decide_next(name, cell)

    def _decide_next(self, name: str, cell: CellSpace) -> None:
        rows, nodes = _order(self.search, name, cell)
        still_open = set(self.search.choices.open(name))
        for row in rows:
            if row in still_open:
                self._choose_operation(name, row)
                return
        for node in nodes:
            if len(_present(self.search, name, cell, node)) > cell.kept_inputs(node):
                self._take_edges_out(name, cell, node)
                return

    def _choose_operation(self, name: str, row: int) -> None:
        found = without_operations(self.search, name, row)
        column = chosen_of(self.search, found)
        operations = self.search.space.cells[name].operations[row]
        for evaluation in found:
            out, chosen = operations[evaluation.what], evaluation.what == column
            self._note(name, row, out, evaluation, chosen)
        self.search.decide(name, row, column)

    def _take_edges_out(self, name: str, cell: CellSpace, node: int) -> None:
        """Remove the surplus edges of a node: in one comparison, or one comparison each."""
        config = self.search.trial.selection.perturbation
        present = _present(self.search, name, cell, node)
        while surplus := len(present) - cell.kept_inputs(node):
            found = without_edges(self.search, name, present)
            # Of equally harmless edges, the last is removed, to keep the earlier ones.
            order = sorted(found, key=lambda one: (one.harm(config.criterion), -one.what))
            count = surplus if config.edges == "alone" else 1
            removed = [evaluation.what for evaluation in order[:count]]
            for evaluation in found:
                self._note(name, evaluation.what, "edge", evaluation, evaluation.what in removed)
            for row in removed:
                self.search.prune(name, row)
                present.remove(row)

    def _note(self, name: str, row: int, out: str, found: Evaluation, chosen: bool) -> None:
        edge = str(self.search.space.cells[name].edges[row])
        epoch = self.search.epoch + 1
        entry = [epoch, name, edge, out, found.accuracy, found.loss, int(chosen)]
        self._evaluations.append(entry)

    def metrics(self) -> dict[str, float]:
        """Return, in tuning epochs, the number of decided and removed edges of each cell type."""
        if self.search.epoch <= self.search.search_epochs:
            return {}
        choices, cells = self.search.choices, self.search.space.cells
        return {
            **{f"decided_edges/{name}": int(choices.decided(name).sum()) for name in cells},
            **{f"pruned_edges/{name}": int(choices.pruned(name).sum()) for name in cells},
        }

    def files(self) -> dict[str, str]:
        """Return ``perturbation.csv``: a line per evaluation.

        ``without`` is the removed operation, or ``edge`` for all operations of the edge; ``chosen``
        is 1 for the chosen operation and for the removed edge.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([_COLUMNS, *self._evaluations])
        return {"perturbation.csv": text.getvalue()}

    def state_dict(self) -> State:
        """Return the evaluations; the decisions are in the search's choices."""
        return {"evaluations": [list(entry) for entry in self._evaluations]}

    def load_state_dict(self, state: State) -> None:
        """Restore them."""
        self._evaluations = [list(entry) for entry in state["evaluations"]]


def _order(search: SearchView, name: str, cell: CellSpace) -> tuple[Sequence[int], Sequence[int]]:
    """Return the rows of the edges, and the nodes, in the order of their decisions."""
    if search.trial.selection.perturbation.order == "fixed":
        return range(len(cell.edges)), cell.nodes
    generator = make_generator(search.trial.seed, f"order of decisions in {name}")
    rows: list[int] = torch.randperm(len(cell.edges), generator=generator).tolist()
    places: list[int] = torch.randperm(len(cell.nodes), generator=generator).tolist()
    return rows, [cell.nodes[place] for place in places]


def _present(search: SearchView, name: str, cell: CellSpace, node: int) -> list[int]:
    """Return the rows of the edges into a node that are not pruned."""
    pruned = search.choices.pruned(name)
    return [row for row in cell.incoming(node) if not pruned[row]]


def _decisions(cell: CellSpace) -> int:
    """Return the number of decisions of a cell type: its edges and nodes with surplus edges."""
    crowded = (len(cell.incoming(node)) > cell.kept_inputs(node) for node in cell.nodes)
    return len(cell.edges) + sum(crowded)
