"""Greedy decisions while the search runs.

Li et al., "SGAS: Sequential Greedy Architecture Search", CVPR 2020, arXiv:1912.00195:
edge importance, selection certainty and selection stability, each spread over [0, 1] by its
smallest and largest value among all edges of the cell, and multiplied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from tune_nas.errors import ConfigError
from tune_nas.search.rules.rule import Rule
from tune_nas.search.shares import not_none, operation_shares
from tune_nas.search.view import SearchControl
from tune_nas.spaces import CellSpace


class Greedy(Rule):
    """Decides one edge of every cell type from time to time, and its operation with it.

    The first decision is at the end of epoch ``warmup`` + 1, as in the published code. Of the
    chosen edge the operation stays that the trial's selection chooses. A node that has all of its
    edges takes no others.

    Args:
        search: The search.

    Raises:
        ConfigError: If its epochs are too few for all decisions.
    """

    def __init__(self, search: SearchControl) -> None:
        super().__init__(search)
        assert search.trial.schedule.greedy is not None
        self.config = search.trial.schedule.greedy
        self._history: dict[str, list[Tensor]] = {name: [] for name in search.space.cells}
        cells = search.space.cells.values()
        decisions = max(sum(map(cell.kept_inputs, cell.nodes)) for cell in cells)
        last = self.config.warmup + self.config.every * (decisions - 1) + 1
        if last > search.trial.schedule.epochs:
            raise ConfigError(
                f"schedule.greedy makes {decisions} decisions in space '{search.space.name}', "
                f"the last after epoch {last}, but the search has "
                f"{search.trial.schedule.epochs} epochs (schedule.epochs)"
            )

    def after_epoch(self, metrics: dict[str, float]) -> None:
        """Decide where it is time to; larger batches follow, for the memory that is saved."""
        search, choices = self.search, self.search.choices
        since = search.epoch - 1 - self.config.warmup
        is_time = since >= 0 and since % self.config.every == 0
        decided = False
        for name, cell in search.space.cells.items():
            importance, shares = operation_shares(search, name)
            history = self._history[name] if self.config.criterion == 2 else []
            scores = edge_scores(importance, shares, not_none(cell), history)
            self._history[name] = [*self._history[name], shares][-self.config.history :]
            if is_time and (rows := self._candidates(name)):
                row = max(rows, key=lambda row: float(scores[row]))
                search.decide(name, row, search.choose(name, row))
                self._close(cell, name, cell.edges[row].target)
                decided = True
            metrics[f"decided_edges/{name}"] = int(choices.decided(name).sum())
        if decided and self.config.batch_growth:
            search.set_batch_size(search.batch_size + self.config.batch_growth)
        metrics["batch_size"] = search.batch_size

    def _candidates(self, name: str) -> list[int]:
        """Return the rows of open edges into nodes that still take one."""
        cell, decided = self.search.space.cells[name], self.search.choices.decided(name)
        full = {node for node in cell.nodes if _is_full(cell, decided, node)}
        return [row for row in self.search.choices.open(name) if cell.edges[row].target not in full]

    def _close(self, cell: CellSpace, name: str, node: int) -> None:
        """Take the other edges into a node out, once it has all that a genotype keeps."""
        choices = self.search.choices
        if self.config.prune and _is_full(cell, choices.decided(name), node):
            for row in set(cell.incoming(node)) & set(choices.open(name)):
                self.search.prune(name, row)

    def state_dict(self) -> dict[str, Any]:
        """Return the shares of the last epochs."""
        return {"history": {name: list(shares) for name, shares in self._history.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take them back."""
        self._history = {name: list(shares) for name, shares in state["history"].items()}


def edge_scores(
    importance: Tensor, shares: Tensor, mask: Tensor, history: Sequence[Tensor] = ()
) -> Tensor:
    """Return the score of each edge: by criterion 1, with a history by criterion 2.

    Args:
        importance: What an edge's operations other than ``none`` weigh together, (edges,).
        shares: Their weights relative to that, 0 elsewhere, (edges, operations).
        mask: Which operations of each edge they are, (edges, operations), bool.
        history: The shares of earlier epochs, which these should be close to.
    """
    score = min_max(importance) * min_max(certainty(shares, mask))
    if history:
        common = torch.stack([torch.minimum(shares, before).sum(dim=1) for before in history])
        score = score * min_max(common.mean(dim=0))
    return score


def certainty(shares: Tensor, mask: Tensor) -> Tensor:
    """Return 1 − entropy / log(number of operations) of each edge; 1 where there is only one."""
    limit = mask.sum(dim=1).clamp(min=2).to(shares.dtype).log()
    entropy: Tensor = torch.special.entr(shares)
    return 1.0 - entropy.sum(dim=1) / limit


def min_max(values: Tensor) -> Tensor:
    """Spread values over [0, 1]; 1 for all where they are equal, and so tell nothing apart."""
    low, high = values.min(), values.max()
    if bool(high == low):
        return torch.ones_like(values)
    return (values - low) / (high - low)


def _is_full(cell: CellSpace, decided: Tensor, node: int) -> bool:
    return int(decided[list(cell.incoming(node))].sum()) >= cell.kept_inputs(node)
