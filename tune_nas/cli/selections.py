"""`tune-nas select` and `analyze`: commands that use the supernet of a finished search."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tune_nas.cli import shared_options as options
from tune_nas.cli.option_groups import spread
from tune_nas.cli.output import Format, echo, print_json, print_table
from tune_nas.cli.run_summary import print_outcome
from tune_nas.cli.runs import named
from tune_nas.errors import ConfigError

if TYPE_CHECKING:
    from tune_nas.search.analysis import EdgeAnalysis
    from tune_nas.sweep.runs.origin import Origin

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
    place: options.Place,
    data_dir: options.DataDir = None,
    settings: options.Settings = None,
    run_name: options.Name = None,
    output: options.OutputFormat = Format.TABLE,
) -> None:
    """Select another genotype from a finished search, as a separate run."""
    from tune_nas.library import with_overrides, with_settings

    given = options.changes_of(data_dir, settings)
    if not given.keys().isdisjoint(("selection", "selection.kind")):
        raise ConfigError("--set has selection.kind, but --selection says which; leave it out")
    origin = _origin(run, place.storage, place.mlflow)
    own = origin.trial.selection.to_dict()
    others = {} if selection == "magnitude" else {"max_skips": {}, "rank_by": "weights"}
    changes = {
        "start_from": origin.checkpoint,
        "selection": {**own, "kind": selection, "options": {}, **others},
    }
    of_run = f"the trial of '{run}'"
    trial = with_settings(
        lambda settings: with_overrides(origin.trial, {**changes, **settings}, of_run),
        given,
        of_run,
    )
    where = place.run_options()
    short = selection.rpartition(":")[2]
    from tune_nas.sweep import run_search

    outcome = named(
        run_name,
        f"{trial.name}-{short}",
        place.storage,
        lambda name: run_search(trial, where, name),
    )
    print_outcome(outcome, output, place.storage)


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
    from tune_nas.config import check_data_keys
    from tune_nas.config.effects import check_read
    from tune_nas.library import with_overrides
    from tune_nas.search.analysis import analyze_edge

    places = [_parse_edge(text) for text in edge]
    origin = _origin(run, storage, mlflow)
    changes = options.changes_of(data_dir, settings)
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


def _origin(run: str, storage: str, mlflow: str | None) -> Origin:
    from tune_nas.sweep.runs.origin import find_origin
    from tune_nas.sweep.runs.storage import Storage

    local = mlflow is not None or Storage(storage).local is not None
    uri = options.mlflow_uri(mlflow, storage) if local else None
    return find_origin(run, storage, uri if uri is not None and options.exists(uri) else None)


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
