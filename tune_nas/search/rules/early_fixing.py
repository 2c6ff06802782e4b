"""Decide edges during the search as soon as their probabilities are clear.

Hu et al., "DSNAS: Direct Neural Architecture Search without Parameter Retraining", CVPR 2020,
arXiv:2002.09128; the authors' code is SNAS-Series/SNAS-Series.
"""

from __future__ import annotations

import torch

from tune_nas.search.relaxation import softmax_where
from tune_nas.search.rules.rule import Rule
from tune_nas.search.view import SearchControl


class EarlyFixing(Rule):
    """Decides, after each epoch, every edge whose two largest probabilities differ by ``gap``.

    They are softmax(α), or α itself where it is a point of the simplex. The edge gets its most
    probable operation. It stays open if a genotype cannot have this operation (``none`` in the
    space of DARTS), and in epochs in which α is not updated.

    Args:
        search: The search.
    """

    def __init__(self, search: SearchControl) -> None:
        super().__init__(search)
        assert search.trial.schedule.early_fixing is not None
        self.config = search.trial.schedule.early_fixing

    def after_epoch(self, metrics: dict[str, float]) -> None:
        """Make the decisions that are due and report the number of decided edges."""
        search = self.search
        for name in search.space.cells:
            if search.moves_alphas(search.epoch - 1):
                for row, column in self._clear(name):
                    search.decide(name, row, column)
            metrics[f"decided_edges/{name}"] = int(search.choices.decided(name).sum())

    def _clear(self, name: str) -> list[tuple[int, int]]:
        """Return the open edges of a cell type that are clear, each with its best operation."""
        remaining = self.search.choices.remaining(name)
        alpha = self.search.alphas[name].detach().double().cpu()
        shares = softmax_where(self.search.relaxation.logits(alpha, remaining), remaining)
        eligible = self.search.space.cells[name].eligible()
        found = []
        for row in self.search.choices.open(name):
            values, order = shares[row].sort(descending=True, stable=True)
            column = int(order[0])
            second = values[1] if len(values) > 1 else torch.zeros(())
            if float(values[0] - second) >= self.config.gap and bool(eligible[row, column]):
                found.append((row, column))
        return found
