"""The table of an analysis in the folder of its run, and its figure."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from tune_nas import figures
from tune_nas.analysis_table import AnalysisTable, is_table, reading_table
from tune_nas.operation_strength import StrengthTable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

AnyTable = StrengthTable | AnalysisTable
"""The table of an analysis: of operations on edges, or of any other kind."""

_logger = logging.getLogger(__name__)


def decode_analysis(text: str, where: str) -> AnyTable:
    """Return the table of an analysis from its JSON form.

    Args:
        text: The JSON text.
        where: The file, for the message.

    Raises:
        StorageError: If it is damaged.
    """
    with reading_table(where):
        content = json.loads(text)
        form = AnalysisTable if is_table(content) else StrengthTable
        return form.from_dict(content)


def analysis_figure(table: AnyTable) -> Figure | None:
    """Return the figure of a table; None if it cannot be drawn."""
    drawn = table.discretization() if isinstance(table, StrengthTable) else table
    try:
        return figures.plot_analysis(drawn)
    except ValueError as error:
        _logger.warning("no figure: %s", error)
        return None
