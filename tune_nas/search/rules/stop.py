"""Stop a search when its genotype has become too small, or has collapsed, or α has settled.

By model size: He et al., "MiLeNAS", CVPR 2020, Sec. 4.3. By skip connections: Liang et al.,
"DARTS+", arXiv:1909.06035, criterion 1. By the ranking of learnable operations: criterion 2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from tune_nas.checkpoint import State
from tune_nas.errors import ConfigError
from tune_nas.search.plugins import check_cells
from tune_nas.search.rules.rule import Rule
from tune_nas.search.view import SearchControl
from tune_nas.spaces import Genotype


class Stop(Rule):
    """Ends the search once the genotype has met a bound for ``patience`` consecutive epochs.

    It also ends it once ``settled`` consecutive epochs have not changed the ranking of α. Warm-up
    epochs do not count: α, and thus the genotype, is still the initial one.

    Args:
        search: The search.

    Raises:
        ConfigError: If a named cell does not exist in the space, or there is nothing to rank.
    """

    def __init__(self, search: SearchControl) -> None:
        super().__init__(search)
        self.config = search.trial.schedule.stop
        check_cells("schedule.stop.convolutions", self.config.convolutions, search.space)
        check_cells("schedule.stop.skips", self.config.skips, search.space)
        self._epochs = 0
        self._learnable = {
            name: cell.of_kind("convolution") for name, cell in search.space.cells.items()
        }
        self._ranking: dict[str, Tensor] = {}
        self._settled = 0
        ranked = any(int(mask.sum(dim=1).max()) > 1 for mask in self._learnable.values())
        if self.config.settled is not None and not ranked:
            raise ConfigError(
                f"schedule.stop.settled is {self.config.settled}, but must be null: no edge of "
                f"space '{search.space.name}' has two convolutions to rank"
            )

    def after_epoch(self, metrics: dict[str, float]) -> None:
        """Stop the search if due."""
        if not self.search.moves_alphas(self.search.epoch - 1):
            return
        if self.config.convolutions or self.config.skips:
            self._follow_bounds(self.config.patience)
        if self.config.settled is not None:
            self._follow_ranking(self.config.settled)

    def _follow_bounds(self, patience: int) -> None:
        """Count the epochs that have met a bound; stop the search after enough."""
        search = self.search
        reason = self._reason(search.genotype)
        self._epochs = 0 if reason is None else self._epochs + 1
        if self._epochs >= patience and search.epoch < search.search_epochs:
            held = "" if self._epochs == 1 else f", for {self._epochs} epochs"
            search.stop(f"stopped at epoch {search.epoch}: {reason}{held}")

    def _follow_ranking(self, epochs: int) -> None:
        """Count the epochs that have not changed the ranking; stop the search after enough."""
        search = self.search
        ranking = {
            name: ranks(alpha, self._learnable[name] & search.choices.remaining(name))
            for name, alpha in search.alphas.items()
        }
        self._settled = self._settled + 1 if _equal(ranking, self._ranking) else 0
        self._ranking = ranking
        if self._settled >= epochs and search.epoch < search.search_epochs:
            search.stop(
                f"stopped at epoch {search.epoch}: the ranking of the convolutions by α is "
                f"unchanged for {self._settled} epoch{'' if self._settled == 1 else 's'}"
            )

    def _reason(self, genotype: Genotype) -> str | None:
        """Return a text with the bound that a genotype meets; None for none."""
        bounds = self.config.convolutions
        found = {name: genotype.count("convolution", name) for name in bounds}
        if bounds and all(found[name] <= bound for name, bound in bounds.items()):
            (first, n), *others = found.items()
            words = [f"{n} convolution{'' if n == 1 else 's'} in the {first} cell"]
            return ", ".join([*words, *(f"{n} in the {name} cell" for name, n in others)])
        for name, bound in self.config.skips.items():
            skips = genotype.count("skip", name)
            if skips >= bound:
                return f"{skips} skip connection{'' if skips == 1 else 's'} in the {name} cell"
        return None

    def state_dict(self) -> State:
        """Return the number of epochs for which the bound has been met, and the ranking of α."""
        return {"epochs": self._epochs, "settled": self._settled, "ranking": dict(self._ranking)}

    def load_state_dict(self, state: State) -> None:
        """Restore them; the ranking is missing in older checkpoints."""
        self._epochs, self._settled = state["epochs"], state.get("settled", 0)
        self._ranking = dict(state.get("ranking", {}))


def ranks(alphas: Tensor, mask: Tensor) -> Tensor:
    """Return the operations of a mask on each edge by decreasing α, as columns; −1 for the others.

    Ties go to the first.

    Args:
        alphas: α, (edges, operations).
        mask: The operations to rank, likewise, bool, on the CPU.
    """
    values = alphas.detach().double().cpu().masked_fill(~mask, -math.inf)
    order = values.argsort(dim=1, descending=True, stable=True)
    places = torch.arange(mask.shape[1]).expand_as(order)
    return order.masked_fill(places >= mask.sum(dim=1, keepdim=True), -1)


def _equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
