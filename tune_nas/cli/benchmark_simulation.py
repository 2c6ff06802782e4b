"""The work of `tune-nas benchmark simulate`."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tune_nas.benchmark import DATA, TrainingTable, find_table, load_trainings, user_table
from tune_nas.candidates.curve_statistics import BudgetPoint, MeanInterval, budget_point
from tune_nas.candidates.search_curve import SearchCurve
from tune_nas.candidates.simulation_file import SimulationFile
from tune_nas.candidates.simulation_runs import Simulation, run_simulations
from tune_nas.cli.output import TableFormat, echo, print_json
from tune_nas.cli.simulation_plan import Compared, Comparison, compared
from tune_nas.cli.tables import print_table
from tune_nas.errors import ConfigError
from tune_nas.figures import plot_budget_curves, render
from tune_nas.files import write_atomically
from tune_nas.text import printable

__all__ = ["Comparison", "simulate"]

_KINDS = (".svg", ".png")
Curves = dict[tuple[str, int], SearchCurve]


def simulate(
    comparison: Comparison,
    table: str,
    *,
    processes: int,
    save: Path | None,
    plot: Path | None,
    quiet: bool,
    output: TableFormat,
) -> None:
    """Simulate searches and print their means by budget.

    Raises:
        ConfigError: If there is no table, or a trial or an option is invalid.
        OSError: If a file cannot be written.
    """
    for path in (save, plot):
        if path is not None and not path.parent.is_dir():
            raise ConfigError(f"'{path}' cannot be written: there is no folder '{path.parent}'")
    if plot is not None and plot.suffix not in _KINDS:
        raise ConfigError(f"--plot is '{plot}', but must end with {' or '.join(_KINDS)}")
    file = find_table(table)
    if file is None:
        raise ConfigError(
            f"there is no table at {user_table()}; write it with tune-nas benchmark import FILE"
        )
    trainings = load_trainings(file)
    lines = compared(comparison, trainings)
    kept = None if save is None else SimulationFile(save, trainings.digest())
    curves = _run(lines, trainings, processes, kept, quiet=quiet)
    if plot is not None:
        title = f"{comparison.seeds} simulated searches each: mean regret and 95 % interval"
        of_lines = {line.label: [curves[_key(each)] for each in line.searches] for line in lines}
        write_atomically(plot, render(plot_budget_curves(of_lines, title), plot.suffix[1:]))
    _print(lines, curves, output)


def _run(
    lines: Sequence[Compared],
    table: TrainingTable,
    processes: int,
    kept: SimulationFile | None,
    *,
    quiet: bool,
) -> Curves:
    """Return the curves of all searches; those that are kept are not simulated again."""
    searches = [each for line in lines for each in line.searches]
    found = {} if kept is None else {_key(e): c for e in searches if (c := kept.curve(e))}
    missing = [each for each in searches if _key(each) not in found]
    columns = (TextColumn("simulating"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    progress = Progress(
        *columns, console=console, transient=True, disable=quiet or not console.is_terminal
    )
    try:
        with progress, closing(run_simulations(missing, table, processes)) as running:
            task = progress.add_task("", total=len(searches), completed=len(found))
            for search, curve in running:
                found[_key(search)] = curve
                if kept is not None:
                    kept.append(search, curve)
                progress.advance(task)
    except KeyboardInterrupt:
        hint = "nothing was written; --output FILE.jsonl keeps finished searches"
        if kept is not None:
            written = SimulationFile(kept.path, kept.table)  # Ctrl-C may have come during a write
            n = sum(written.curve(each) is not None for each in searches)
            hint = f"{n} of {len(searches)} searches are in {kept.path}; run it again"
        print(printable(f"tune-nas: interrupted; {hint}"), file=sys.stderr)
        raise typer.Exit(130) from None
    return found


def _key(search: Simulation) -> tuple[str, int]:
    return search.label, search.seed


def _print(lines: Sequence[Compared], curves: Curves, output: TableFormat) -> None:
    points = [
        (line, budget, budget_point([curves[_key(each)] for each in line.searches], budget))
        for line in lines
        for budget in line.budgets
    ]
    if output is TableFormat.TABLE:
        rows = [_row(line, budget, point) for line, budget, point in points]
        print_table(list(rows[0]), rows)
        _print_note(lines)
        return
    records = [_record(line, budget, point) for line, budget, point in points]
    if output is TableFormat.JSON:
        print_json(records)
        return
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fieldnames=list(records[0]))
    writer.writeheader()
    writer.writerows(records)
    typer.echo(stream.getvalue(), nl=False)


def _row(line: Compared, budget: int, point: BudgetPoint | None) -> dict[str, object]:
    """Return a row of the table; a budget below the first training has no numbers."""
    row: dict[str, object] = {"trial": line.label, "budget": f"{budget:,}"}
    if point is None:
        return {**row, **dict.fromkeys(("n", "epochs", "jobs", "GPU h", "hours", *_titles()), "–")}
    return {
        **row,
        "n": str(point.regret.n),
        "epochs": f"{point.epochs:,.0f}",
        "jobs": f"{point.evaluations:,.1f}",
        "GPU h": f"{point.gpu_hours:,.2f}",
        "hours": f"{point.hours:,.2f}",
        **dict(zip(_titles(), map(_text, (*point.test.values(), point.regret)), strict=True)),
    }


def _titles() -> list[str]:
    return [*(data.replace("_", "-") for data in DATA), "regret"]


def _text(found: MeanInterval) -> str:
    return f"{found.mean:.2f} [{found.low:.2f}, {found.high:.2f}]"


def _print_note(lines: Sequence[Compared]) -> None:
    first = lines[0].searches[0]
    data = sorted({each.searches[0].data.replace("_", "-") for each in lines})
    echo(
        f"Means of the incumbent's test accuracies (%) over {len(lines[0].searches)} seeds, with "
        f"95 % intervals (bootstrap); searches on {', '.join(data)}, {first.workers} trainings at "
        "a time.\nepochs, jobs and GPU h: of the completed trainings; hours: virtual time; "
        "regret: to the best cell on the data set of the search, in points."
    )


def _record(line: Compared, budget: int, point: BudgetPoint | None) -> dict[str, object]:
    """Return the numbers of a row; None for all if no search has an incumbent by then."""
    search = line.searches[0]
    known = {"trial": line.label, "data": search.data, "workers": search.workers, "budget": budget}
    names = ["epochs", "evaluations", "gpu_hours", "hours"]
    found = None if point is None else asdict(point)
    record: dict[str, object] = {**known, "n": 0 if point is None else point.regret.n}
    record |= {name: None if found is None else round(found[name], 4) for name in names}
    for name in (*DATA, "regret"):
        title = name if name == "regret" else f"{name}_test"
        interval = (
            None
            if point is None
            else (*point.test.values(), point.regret)[(*DATA, "regret").index(name)]
        )
        for suffix, part in (("", "mean"), ("_low", "low"), ("_high", "high")):
            value = None if interval is None else round(getattr(interval, part), 4)
            record[f"{title}{suffix}"] = value
    return record
