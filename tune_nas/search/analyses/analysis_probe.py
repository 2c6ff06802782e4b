"""The base class of the analyses of a search."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from tune_nas.analysis_table import TABLE_SUFFIX, AnalysisTable, with_epochs
from tune_nas.checkpoint import State
from tune_nas.search.objective import keeping_statistics
from tune_nas.search.plugins import running_own_code
from tune_nas.search.probes.probe import Probe
from tune_nas.search.view import SearchView
from tune_nas.user_code import load_class


def load_analysis(kind: str) -> type[AnalysisProbe]:
    """Return the class of an analysis by its name, or ``module:Class``.

    Raises:
        ConfigError: If it cannot be imported, or is not an analysis.
    """
    with running_own_code("analysis.kind", kind):
        found: type[AnalysisProbe] = load_class("analysis.kind", kind, AnalysisProbe)
    return found


class AnalysisProbe(Probe):
    """An analysis: it maps a search and the section ``analysis`` of its trial to a table.

    As a probe, it measures the search after every ``analysis.every`` epochs and after the last one,
    and adds the metrics of the table. `tune-nas analyze RUN KIND` measures a checkpoint once.

    Attributes:
        kind: Its name, as in the table.
    """

    kind: ClassVar[str]

    def __init__(self, search: SearchView) -> None:
        super().__init__(search)
        self._tables: list[tuple[int, AnalysisTable]] = []

    @abstractmethod
    def measure(self, search: SearchView) -> AnalysisTable:
        """Return the table of a search at its current epoch, without a column for the epoch.

        Running statistics and the mode of the supernet are restored afterwards. Everything else
        must be as before, and random values from separate generators.
        """

    def measured(self, search: SearchView) -> AnalysisTable:
        """Return the table of a search, which stays as it was."""
        training = search.supernet.training
        try:
            with keeping_statistics(search.supernet):
                return self.measure(search)
        finally:
            search.supernet.train(training)

    def after_epoch(self, search: SearchView) -> Mapping[str, float]:
        """Measure the search if it is due and return the metrics of the table."""
        is_last = search.epoch == search.search_epochs
        if search.epoch % search.trial.analysis.every and not is_last:
            return {}
        table = self.measured(search)
        self._tables.append((search.epoch, table))
        return table.metrics

    def table(self, search: SearchView | None = None) -> AnalysisTable | None:
        """Return the table of all measured epochs; None without any.

        Args:
            search: The search, if its current epoch is to be measured too.
        """
        tables = list(self._tables)
        if search is not None and search.epoch not in [epoch for epoch, _ in tables]:
            tables.append((search.epoch, self.measured(search)))
        return with_epochs(tables) if tables else None

    def artifacts(self) -> Mapping[str, str | bytes]:
        """Return the table as CSV, and as JSON with the axes of its figure."""
        table = self.table()
        if table is None:
            return {}
        name = self.kind.replace("-", "_")
        return {f"{name}.csv": table.to_csv(), f"{name}{TABLE_SUFFIX}": table.to_json()}

    def state_dict(self) -> State:
        """Return the tables as text by epoch."""
        return {"tables": [[epoch, table.to_json()] for epoch, table in self._tables]}

    def load_state_dict(self, state: State) -> None:
        """Restore them."""
        self._tables = [
            (epoch, AnalysisTable.from_json(text, f"the state of probe '{self.kind}'"))
            for epoch, text in state["tables"]
        ]
