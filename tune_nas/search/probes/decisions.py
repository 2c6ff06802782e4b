"""The decisions and removals of edges, by epoch, from any part."""

from __future__ import annotations

import csv
import io
from typing import NamedTuple

from tune_nas.checkpoint import State
from tune_nas.search.metrics import Metrics
from tune_nas.search.probes.probe import Probe
from tune_nas.search.view import SearchView


class Decision(NamedTuple):
    """An edge that was decided or pruned.

    Args:
        epoch: The epoch in which it was decided (1-based).
        cell: The cell type.
        edge: E.g. ``0->2``.
        operation: The chosen operation; empty for a removed edge.
    """

    epoch: int
    cell: str
    edge: str
    operation: str

    def __str__(self) -> str:
        return f"{self.cell} {self.edge} {self.operation or 'taken out'}"


class Decisions(Probe):
    """The decisions of a search, in order; ``decisions.csv`` of a checkpoint."""

    def __init__(self, search: SearchView) -> None:
        super().__init__(search)
        self._choices = search.choices
        self.entries: list[Decision] = []
        self._known = self._closed()

    def after_epoch(self, search: SearchView) -> Metrics:
        """Record the decisions of the epoch."""
        self.see(search.epoch)
        return {}

    def artifacts(self) -> dict[str, str]:
        """Return ``decisions.csv`` once there is a decision."""
        return {"decisions.csv": self.to_csv()} if self.entries else {}

    def see(self, epoch: int) -> None:
        """Record the decisions since the last call, in a 1-based epoch."""
        before, self._known = self._known, self._closed()
        for place, operation in self._known.items():
            if before.get(place) != operation:
                self.entries.append(Decision(epoch, *place, operation))

    def of_epoch(self, epoch: int) -> str:
        """Return a text with the decisions of an epoch (1-based); empty if there are none."""
        return ", ".join(str(entry) for entry in self.entries if entry.epoch == epoch)

    def to_csv(self) -> str:
        """Return a line per decision."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([Decision._fields, *self.entries])
        return text.getvalue()

    def state_dict(self) -> State:
        """Return them as plain containers."""
        return {"entries": [list(entry) for entry in self.entries]}

    def load_state_dict(self, state: State) -> None:
        """Restore them; the choices must already be restored."""
        self.entries = [Decision(*entry) for entry in state["entries"]]
        self._known = self._closed()

    def _closed(self) -> dict[tuple[str, str], str]:
        """Return the chosen operation of every edge that is not open; empty if it is pruned."""
        closed = {}
        for name, cell in self._choices.cells.items():
            remaining = self._choices.remaining(name)
            is_open = set(self._choices.open(name))
            for row, edge in enumerate(cell.edges):
                if row not in is_open:
                    columns = remaining[row].nonzero().flatten().tolist()
                    chosen = cell.operations[row][columns[0]] if columns else ""
                    closed[name, str(edge)] = chosen
        return closed
