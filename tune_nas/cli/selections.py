"""`tune-nas select` and `analyze`: commands that use the supernet of a finished search."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tune_nas.cli import bodies
from tune_nas.cli import shared_options as options
from tune_nas.cli.option_groups import spread
from tune_nas.cli.output import Format, echo, print_json
from tune_nas.errors import ConfigError

if TYPE_CHECKING:
    from tune_nas.search.analysis import EdgeAnalysis

Run = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="A finished search: its name, NAME/TRIAL, an MLflow run, or a checkpoint's folder.",
    ),
]


@spread
def select(
    run: Run,
    selection: Annotated[
        str,
        typer.Option(
            metavar="KIND", help="perturbation, magnitude, sampled, greedy, or module:Class."
        ),
    ],
    execution: options.ExecutionOptions,
    data_dir: options.DataDir = None,
    settings: options.Settings = None,
    run_name: options.Name = None,
    output: options.OutputFormat = Format.TABLE,
) -> None:
    """Select another genotype from a finished search, as a separate run."""
    bodies.selecting.select(
        run,
        selection,
        execution,
        data_dir=data_dir,
        settings=settings,
        run_name=run_name,
        output=output,
    )


def analyze(
    run: Run,
    edge: Annotated[
        list[str],
        typer.Option(metavar="CELL:EDGE", help="An edge, as 'normal:0->2' in quotes; repeatable."),
    ],
    epochs: Annotated[
        int, typer.Option(min=1, help="Epochs of tuning for each operation, until it converges.")
    ] = 5,
    data_dir: options.DataDir = None,
    settings: options.Settings = None,
    storage: options.Storage = "runs",
    mlflow: options.Mlflow = None,
    quiet: options.Quiet = False,
    output: options.OutputFormat = Format.TABLE,
) -> None:
    """Compare what α, perturbation and the accuracy at convergence say of an edge's operations."""
    from tune_nas.checkpoint_folder import fetched
    from tune_nas.cli.option_values import changes_of
    from tune_nas.cli.origins import origin_of
    from tune_nas.config import check_data_keys
    from tune_nas.config.effects import check_read
    from tune_nas.library import with_overrides
    from tune_nas.search.analysis import analyze_edge

    places = [_parse_edge(text) for text in edge]
    origin = origin_of(run, storage, mlflow)
    changes = changes_of(data_dir, settings)
    check_read(changes, "analysis")
    trial = with_overrides(origin.trial, changes, where=f"the trial of '{run}'")
    check_data_keys([trial.data])

    def tell(place: str, operation: str) -> None:
        if not quiet:
            print(f"{place}: tuning with {operation} alone", file=sys.stderr, flush=True)

    with fetched(origin.checkpoint) as checkpoint:
        found = [
            analyze_edge(trial, checkpoint, cell, name, epochs, partial(tell, f"{cell} {name}"))
            for cell, name in places
        ]
    if output is Format.JSON:
        print_json({"checkpoint": origin.checkpoint, "epochs": epochs, "edges": _plain(found)})
        return
    for analysis in found:
        _print(analysis)


def _parse_edge(text: str) -> tuple[str, str]:
    cell, colon, edge = text.partition(":")
    if not colon or "->" not in edge:
        raise ConfigError(
            f"--edge is '{text}', but must be written CELL:EDGE, as 'normal:0->2' in quotes"
        )
    return cell.strip(), edge.replace(" ", "")


def _plain(found: list[EdgeAnalysis]) -> list[dict[str, Any]]:
    edges = []
    for analysis in found:
        ranks = analysis.ranks()
        operations = [
            {
                **vars(worth),
                "ranks": {criterion: ranks[criterion][worth.operation] for criterion in ranks},
            }
            for worth in analysis.operations
        ]
        edges.append({**vars(analysis), "operations": operations})
    return edges


def _print(analysis: EdgeAnalysis) -> None:
    """Print a table of the operations, ranks in parentheses, and the choice of each criterion."""
    from tune_nas.cli.tables import print_table

    ranks = analysis.ranks()

    def cell(value: str, criterion: str, operation: str) -> str:
        return f"{value} ({ranks[criterion][operation]})"

    rows = [
        {
            "operation": worth.operation,
            "α": f"{worth.alpha:.4f}",
            "weight": cell(f"{worth.weight:.4f}", "magnitude", worth.operation),
            "accuracy without it": cell(f"{worth.without:.2f}", "perturbation", worth.operation),
            "accuracy at convergence": cell(
                f"{worth.converged:.2f}", "discretisation", worth.operation
            ),
        }
        for worth in analysis.operations
    ]
    echo(f"{analysis.cell} {analysis.edge}: supernet accuracy {analysis.supernet:.2f}")
    print_table(list(rows[0]), rows)
    first = {criterion: min(of, key=of.__getitem__) for criterion, of in ranks.items()}
    echo(
        f"α selects {first['magnitude']}, perturbation {first['perturbation']}, "
        f"accuracy at convergence {first['discretisation']}\n"
    )
