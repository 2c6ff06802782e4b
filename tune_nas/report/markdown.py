"""A comparison as a Markdown page."""

from __future__ import annotations

from tune_nas.report.columns import text_table
from tune_nas.report.comparison import Comparison
from tune_nas.report.report_format import ReportFormat
from tune_nas.report.sentence import compose
from tune_nas.text import printable


class Markdown(ReportFormat):
    """A Markdown page, like ``report.md`` in the folder of a sweep."""

    def render(self, comparison: Comparison) -> str:
        """Return the page."""
        return printable(to_markdown(comparison))


def to_markdown(comparison: Comparison) -> str:
    """Return the page: the sentence, the table, and the unfinished trials."""
    content = text_table(comparison)
    n_numbers = len(content.header) - content.n_axes
    parts = [f"# Sweep {comparison.sweep}", "", compose(comparison), ""]
    parts.append(f"| {' | '.join(content.header)} |")
    parts.append("|" + "|".join(["---"] * content.n_axes + ["---:"] * n_numbers) + "|")
    for number, line in enumerate(content.lines):
        cells = [f"**{cell}**" if number == content.best and cell else cell for cell in line]
        parts.append(f"| {' | '.join(cells)} |")
    parts += ["", "Mean ± sample standard deviation over the trials that ran to their end"]
    parts[-1] += " and did not diverge." if content.counts_diverged else "."
    notes = comparison.notes()
    if notes:
        parts += ["", *(f"- {note}" for note in notes)]
    return "\n".join(parts) + "\n"
