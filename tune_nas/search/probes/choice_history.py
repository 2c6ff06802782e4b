"""What a genotype of an earlier epoch follows from besides α: β and the remaining operations."""

from __future__ import annotations

from torch import Tensor

from tune_nas.checkpoint import State
from tune_nas.search.metrics import Metrics
from tune_nas.search.probes.probe import Probe
from tune_nas.search.view import SearchView

Choices = dict[str, dict[str, Tensor]]
"""The masks of `CandidateMask.state_dict`."""


class ChoiceHistory(Probe):
    """β of every epoch, and the remaining operations after each epoch that changed them."""

    def __init__(self, search: SearchView) -> None:
        super().__init__(search)
        self.epochs = 0
        self._betas: list[dict[str, Tensor]] = []
        self._choices: list[tuple[int, Choices]] = []

    def after_epoch(self, search: SearchView) -> Metrics:
        """Record the epoch."""
        betas = {name: beta.detach().cpu().clone() for name, beta in search.betas.items()}
        self._betas.append(betas)
        self.epochs += 1
        choices = {
            name: {
                "remaining": search.choices.remaining(name).clone(),
                "decided": search.choices.decided(name).clone(),
            }
            for name in search.space.cells
        }
        if not self._choices or not _equal(self._choices[-1][1], choices):
            self._choices.append((self.epochs, choices))
        return {}

    def betas_of(self, epoch: int) -> dict[str, Tensor]:
        """Return β by cell type at the end of an epoch (1-based)."""
        return self._betas[epoch - 1]

    def choices_of(self, epoch: int) -> Choices:
        """Return the masks of the remaining operations at the end of an epoch (1-based)."""
        return [held for since, held in self._choices if since <= epoch][-1]

    def state_dict(self) -> State:
        """Return both as plain containers and tensors."""
        choices = [[since, held] for since, held in self._choices]
        return {"epochs": self.epochs, "betas": list(self._betas), "choices": choices}

    def load_state_dict(self, state: State) -> None:
        """Restore both."""
        self.epochs, self._betas = state["epochs"], list(state["betas"])
        self._choices = [(since, held) for since, held in state["choices"]]


def _equal(one: Choices, other: Choices) -> bool:
    return all(
        bool((one[name][mask] == other[name][mask]).all()) for name in one for mask in one[name]
    )
