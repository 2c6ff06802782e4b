"""What a genotype of an earlier epoch follows from besides α: β and the remaining operations."""

from __future__ import annotations

import torch
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
        self._betas: list[dict[str, Tensor]] = []
        self._choices: list[tuple[int, Choices]] = []

    def after_epoch(self, search: SearchView) -> Metrics:
        """Record the epoch."""
        betas = {name: beta.detach().cpu().clone() for name, beta in search.betas.items()}
        self._betas.append(betas)
        choices = {
            name: {
                "remaining": search.choices.remaining(name).clone(),
                "decided": search.choices.decided(name).clone(),
            }
            for name in search.space.cells
        }
        if not self._choices or not _equal(self._choices[-1][1], choices):
            self._choices.append((len(self._betas), choices))
        return {}

    def state_dict(self) -> State:
        """Return both as plain containers and tensors."""
        choices = [[since, held] for since, held in self._choices]
        return {"betas": list(self._betas), "choices": choices}

    def load_state_dict(self, state: State) -> None:
        """Restore both."""
        self._betas = list(state["betas"])
        self._choices = [(since, held) for since, held in state["choices"]]


def betas_at(state: State, epoch: int) -> dict[str, Tensor]:
    """Return β by cell type at the end of an epoch (1-based) of a `ChoiceHistory.state_dict`."""
    betas: dict[str, Tensor] = state["betas"][epoch - 1]
    return betas


def choices_at(state: State, epoch: int) -> Choices:
    """Return the masks of the remaining operations at the end of an epoch (1-based), likewise."""
    earlier: list[Choices] = [held for since, held in state["choices"] if since <= epoch]
    return earlier[-1]


def _equal(one: Choices, other: Choices) -> bool:
    return all(
        torch.equal(one[name][mask], other[name][mask]) for name in one for mask in one[name]
    )
