"""The report of a sweep: its comparison, with a method for each format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tune_nas.report.comparison import Comparison
from tune_nas.report.frame import to_dataframe
from tune_nas.report.json_document import to_dict
from tune_nas.report.markdown import to_markdown
from tune_nas.report.sentence import compose
from tune_nas.report.terminal import closing_lines, to_table, to_tables

if TYPE_CHECKING:
    from pandas import DataFrame
    from rich.table import Table


class Report(Comparison):
    """A comparison that renders itself; see `Comparison` for its arguments."""

    def sentence(self) -> str:
        """Return one sentence about the table: the best value, by which metric, how certain."""
        return compose(self)

    def table(self) -> Table:
        """Return the table for a terminal; the best row is bold."""
        return to_table(self)

    def tables(self) -> list[Table]:
        """Return that table and, with several settings of retraining, theirs."""
        return to_tables(self)

    def lines(self) -> list[str]:
        """Return the lines below: the sentence, the settings, and the unfinished trials."""
        return closing_lines(self)

    def markdown(self) -> str:
        """Return the report as Markdown: the sentence, the table, and the unfinished trials."""
        return to_markdown(self)

    def to_dict(self) -> dict[str, object]:
        """Return the report as plain containers for JSON; inf is the text ``inf``."""
        return to_dict(self)

    def to_dataframe(self, *, epochs: bool = False) -> DataFrame:
        """Return the trials as a pandas DataFrame: one row per trial, or per epoch."""
        return to_dataframe(self.results, epochs=epochs)
