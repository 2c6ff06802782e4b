"""The work of `tune-nas benchmark query`."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from tune_nas.benchmark import (
    ACCURACIES,
    SPACE,
    BenchmarkTable,
    find_table,
    load_benchmark,
    user_table,
)
from tune_nas.cli.genotype_reference import find_genotype
from tune_nas.cli.output import Format, echo, print_json
from tune_nas.cli.tables import print_table
from tune_nas.errors import ConfigError
from tune_nas.spaces import Genotype, Space, load_space, model_size


@dataclass(frozen=True)
class _Accuracy:
    """One accuracy of a cell in percent, its rank (1 for the best) and its regret in points."""

    accuracy: float
    rank: int
    regret: float


@dataclass(frozen=True)
class _CellFacts:
    """The accuracies, ranks, regrets and size of a cell, in the order of the JSON document."""

    cell: str
    cells: int
    accuracies: dict[str, _Accuracy]
    parameters: int
    multiply_adds: int


def query(cell: str, table: str, storage: str, mlflow: str | None, output: Format) -> None:
    """Print the accuracies, ranks, regrets and size of a cell.

    Raises:
        ConfigError: If the genotype is of another space, or there is no table.
    """
    genotype = find_genotype(cell, storage, mlflow).genotype
    if genotype.space != SPACE:
        raise ConfigError(f"the benchmark knows cells of space '{SPACE}', not '{genotype.space}'")
    space = load_space(SPACE)
    genotype.check(space)
    path = find_table(table)
    if path is None:
        raise ConfigError(
            f"there is no table at {user_table()}; write it with tune-nas benchmark import FILE"
        )
    facts = _facts(load_benchmark(path), genotype, space)
    if output is Format.JSON:
        print_json(asdict(facts))
        return
    rows = [
        {
            "": name.replace("_", " "),
            "accuracy": f"{found.accuracy:.2f} %",
            "rank": f"{found.rank:,}",
            "regret": f"{found.regret:.2f}",
        }
        for name, found in facts.accuracies.items()
    ]
    print_table(list(rows[0]), rows)
    echo(f"{facts.cell}\nof {facts.cells:,} cells; {facts.parameters:,} parameters")


def _facts(table: BenchmarkTable, genotype: Genotype, space: Space) -> _CellFacts:
    cell = genotype.to_nasbench201()
    accuracies = table.query(cell)
    size = model_size(genotype, space, image_size=32, n_classes=10)
    return _CellFacts(
        cell=cell,
        cells=len(table.rows),
        accuracies={
            name: _Accuracy(
                accuracy=round(accuracies[name], 4),
                rank=table.rank(cell, name),
                regret=round(table.regret(cell, name), 4),
            )
            for name in ACCURACIES
        },
        parameters=size.parameters,
        multiply_adds=size.multiply_adds,
    )
