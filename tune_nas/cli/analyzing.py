"""The work of `tune-nas analyze`."""

from __future__ import annotations

import sys

from tune_nas import sweep as sweeps
from tune_nas.cli.analysis_summary import print_analysis, print_result
from tune_nas.cli.option_values import changes_of, run_options
from tune_nas.cli.output import Format
from tune_nas.cli.run_names import named
from tune_nas.cli.shared_options import ExecutionOptions
from tune_nas.sweep.analysis_run import find_analysis, read_analysis, request_analysis
from tune_nas.sweep.runs.storage import Storage
from tune_nas.text import printable


def analyze(
    run: str,
    execution: ExecutionOptions,
    *,
    kind: str | None,
    edges: list[str] | None,
    epochs: int | None,
    batches: int | None,
    data_dir: str | None,
    settings: list[str] | None,
    run_name: str | None,
    output: Format,
) -> None:
    """Analyze a search and print the table; if it was finished before, only print it.

    Raises:
        NameTakenError: If the name is taken, or the same analysis has not finished.
    """
    changes = changes_of(data_dir, settings)
    given = {"analysis.kind": kind, "analysis.epochs": epochs, "analysis.batches": batches}
    changes = {**{key: value for key, value in given.items() if value is not None}, **changes}
    if edges:
        changes["analysis.edges"] = edges
    storage = execution.storage
    request = request_analysis(run, storage, execution.mlflow, changes)
    known = find_analysis(request.trial, storage, run_name)
    if known is not None and known.finished:
        folder = f"{Storage(storage).root}/{known.name}"
        if not execution.quiet:
            print(f"tune-nas: note: analyzed before, in {printable(folder)}", file=sys.stderr)
        print_analysis(read_analysis(folder), output)
        return
    options = run_options(execution)
    outcome = named(
        run_name if known is None else known.name,
        request.name,
        storage,
        lambda name: sweeps.start_analysis(
            request.trial, options, name, parent_run=request.parent_run
        ),
    )
    print_result(outcome, output, storage)
