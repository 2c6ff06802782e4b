"""Output on stdout for the analysis of a search."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tune_nas.analysis_table import AnalysisTable
from tune_nas.cli.output import Format, echo, print_json
from tune_nas.cli.run_summary import print_outcome, tell_missing
from tune_nas.cli.tables import print_table
from tune_nas.operation_strength import StrengthTable
from tune_nas.text import printable

if TYPE_CHECKING:
    from tune_nas.sweep import SweepOutcome


def print_result(outcome: SweepOutcome, output: Format, storage: str) -> None:
    """Print the table of an analysis, or the report of any other run.

    What MLflow lacks, and why an analysis failed, is printed to stderr.

    Raises:
        typer.Exit: With status 1, if a trial failed, or MLflow lacks something.
    """
    if outcome.analysis is None:
        print_outcome(outcome, output, storage)
        return
    print_analysis(outcome.analysis, output)
    if outcome.n_failed:
        for line in outcome.report.notes():
            print(f"tune-nas: {printable(line)}", file=sys.stderr)
    tell_missing(outcome, storage)


def print_analysis(table: StrengthTable | AnalysisTable, output: Format) -> None:
    """Print a table and its metrics, or the operations of each edge and each criterion's choice."""
    if output is Format.JSON:
        print_json(table.to_dict())
        return
    if isinstance(table, AnalysisTable):
        echo(printable(table.title()))
        print_table(list(table.columns), table.text_rows())
        if sentence := table.sentence():
            echo(sentence)
        return
    for edge in table.edges:
        echo(edge.title())
        rows = edge.rows()
        print_table(list(rows[0]), rows)
        echo(f"{edge.sentence()}\n")
