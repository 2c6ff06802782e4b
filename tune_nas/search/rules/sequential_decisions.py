"""Sequential decisions during the search: edge by edge, the most certain first.

Li et al., "SGAS: Sequential Greedy Architecture Search", CVPR 2020, arXiv:1912.00195: edge
importance, selection certainty and selection stability, each min-max normalized to [0, 1] over all
edges of the cell, and multiplied.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tune_nas.checkpoint import State
from tune_nas.errors import ConfigError
from tune_nas.search.rules.rule import Rule
from tune_nas.search.shares import not_none, operation_shares
from tune_nas.search.view import SearchControl
from tune_nas.spaces import CellSpace


class SequentialDecisions(Rule):
    """Periodically decides one edge of every cell type and its operation.

    The first decision is at the end of epoch ``warmup`` + 1, as in the published code. The
    operation of the chosen edge is chosen by the trial's selection. A node that has all of its
    edges accepts no others.

    Args:
        search: The search.

    Raises:
        ConfigError: If it has too few epochs for all decisions.
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
        """Make a decision if due, then increase the batch size, using the freed memory."""
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
        """Return the rows of open edges into nodes that still accept one."""
        cell, decided = self.search.space.cells[name], self.search.choices.decided(name)
        full = {node for node in cell.nodes if _is_full(cell, decided, node)}
        return [row for row in self.search.choices.open(name) if cell.edges[row].target not in full]

    def _close(self, cell: CellSpace, name: str, node: int) -> None:
        """Remove the other edges into a node once it has all that a genotype keeps."""
        choices = self.search.choices
        if self.config.prune and _is_full(cell, choices.decided(name), node):
            for row in set(cell.incoming(node)) & set(choices.open(name)):
                self.search.prune(name, row)

    def state_dict(self) -> State:
        """Return the shares of the last epochs."""
        return {"history": {name: list(shares) for name, shares in self._history.items()}}

    def load_state_dict(self, state: State) -> None:
        """Restore them."""
        self._history = {name: list(shares) for name, shares in state["history"].items()}


def edge_scores(
    importance: Tensor, shares: Tensor, mask: Tensor, history: Sequence[Tensor] = ()
) -> Tensor:
    """Return the score of each edge: by criterion 1, or by criterion 2 given a history.

    Args:
        importance: Total weight of an edge's operations other than ``none``, (edges,).
        shares: Their weights relative to it, 0 elsewhere, (edges, operations).
        mask: Mask of these operations, (edges, operations), bool.
        history: The shares of earlier epochs, to which stability compares these.
    """
    score = min_max(importance) * min_max(certainty(shares, mask))
    if history:
        common = torch.stack([torch.minimum(shares, before).sum(dim=1) for before in history])
        score = score * min_max(common.mean(dim=0))
    return score


def certainty(shares: Tensor, mask: Tensor) -> Tensor:
    """Return 1 − entropy / log(number of operations) of each edge; 1 if there is only one."""
    limit = mask.sum(dim=1).clamp(min=2).to(shares.dtype).log()
    entropy: Tensor = torch.special.entr(shares)
    return 1.0 - entropy.sum(dim=1) / limit


def min_max(values: Tensor) -> Tensor:
    """Min-max normalize values to [0, 1]; return 1 for all if they are equal."""
    low, high = values.min(), values.max()
    if bool(high == low):
        return torch.ones_like(values)
    return (values - low) / (high - low)


def _is_full(cell: CellSpace, decided: Tensor, node: int) -> bool:
    return int(decided[list(cell.incoming(node))].sum()) >= cell.kept_inputs(node)
