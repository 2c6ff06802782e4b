"""The strength of the operations on edges, as an analysis of a search finds it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from tune_nas.analysis_table import AnalysisTable, TableAxes, Value, reading_table
from tune_nas.json_text import encode

ANALYSIS_METRIC = "accuracy_at_convergence"
"""The metric of an analysis: the validation accuracy in percent with the operation alone."""

_COLUMNS = (
    *("cell", "edge", "supernet"),
    *("operation", "alpha", "weight", "without", "loss_without", "converged"),
)
_DISCRETIZATION = ("cell", "edge", "operation", "alpha", "weight", "accuracy")
_TITLES = ("operation", "α", "weight", "accuracy without it", "accuracy at convergence")


@dataclass(frozen=True)
class OperationStrength:
    """Measures of an operation on an edge. Accuracies are on the validation half, in percent.

    Args:
        operation: Its name.
        alpha: Its α.
        weight: Its expected operation weight.
        without: The supernet's accuracy without it.
        loss_without: The supernet's loss without it.
        converged: Its discretization accuracy at convergence.
    """

    operation: str
    alpha: float
    weight: float
    without: float
    loss_without: float
    converged: float


@dataclass(frozen=True)
class EdgeAnalysis:
    """The operations of an edge.

    Args:
        cell: The cell type.
        edge: E.g. ``0->2``.
        supernet: Accuracy of the unchanged supernet in percent.
        operations: The operations that a genotype may have there, in the order of the space.
    """

    cell: str
    edge: str
    supernet: float
    operations: list[OperationStrength]

    def ranks(self) -> dict[str, dict[str, int]]:
        """Return, by criterion, the rank of each operation; 1 is the one it would choose."""
        keys: dict[str, Callable[[OperationStrength], tuple[float, ...]]] = {
            "magnitude": lambda strength: (-strength.weight,),
            "perturbation": lambda strength: (strength.without, -strength.loss_without),
            "discretisation": lambda strength: (-strength.converged,),
        }
        ranks = {}
        for criterion, key in keys.items():
            ordered = sorted(self.operations, key=key)
            ranks[criterion] = {each.operation: rank for rank, each in enumerate(ordered, 1)}
        return ranks

    def title(self) -> str:
        """Return the line above the table of the edge."""
        return f"{self.cell} {self.edge}: supernet accuracy {self.supernet:.2f}"

    def rows(self) -> list[dict[str, str]]:
        """Return a row for each operation by column title, ranks in parentheses."""
        ranks = self.ranks()

        def ranked(value: str, criterion: str, operation: str) -> str:
            return f"{value} ({ranks[criterion][operation]})"

        rows = []
        for strength in self.operations:
            name = strength.operation
            cells = (
                name,
                f"{strength.alpha:.4f}",
                ranked(f"{strength.weight:.4f}", "magnitude", name),
                ranked(f"{strength.without:.2f}", "perturbation", name),
                ranked(f"{strength.converged:.2f}", "discretisation", name),
            )
            rows.append(dict(zip(_TITLES, cells, strict=True)))
        return rows

    def sentence(self) -> str:
        """Return the operation that each criterion selects, as a sentence."""
        first = {criterion: min(of, key=of.__getitem__) for criterion, of in self.ranks().items()}
        return (
            f"α selects {first['magnitude']}, perturbation {first['perturbation']}, "
            f"accuracy at convergence {first['discretisation']}"
        )


@dataclass(frozen=True)
class StrengthTable:
    """The analysis of some edges of a finished search.

    Args:
        checkpoint: The checkpoint of the search: an absolute path or a URI.
        epochs: Number of tuning epochs for each operation.
        edges: The edges that were analyzed.
    """

    checkpoint: str
    epochs: int
    edges: list[EdgeAnalysis]

    def to_dict(self) -> dict[str, object]:
        """Return plain containers, with the ranks of each operation."""
        edges = []
        for analysis in self.edges:
            ranks = analysis.ranks()
            operations = [
                {
                    **vars(strength),
                    "ranks": {name: ranks[name][strength.operation] for name in ranks},
                }
                for strength in analysis.operations
            ]
            edges.append({**vars(analysis), "operations": operations})
        return {"checkpoint": self.checkpoint, "epochs": self.epochs, "edges": edges}

    def to_json(self) -> str:
        """Return the table as JSON; inf and nan, which JSON does not have, become text."""
        return json.dumps(encode(asdict(self)), indent=1, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str, where: str) -> StrengthTable:
        """Return the table that `to_json` wrote.

        Args:
            text: The JSON text.
            where: The file, for the message.

        Raises:
            StorageError: If it is damaged.
        """
        with reading_table(where):
            return cls.from_dict(json.loads(text))

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> StrengthTable:
        """Return the table from the containers of its JSON form; call it in `reading_table`."""
        edges = [_edge(edge) for edge in content["edges"]]
        return cls(str(content["checkpoint"]), int(content["epochs"]), edges)

    def to_csv(self) -> str:
        """Return a line for each operation of each edge."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for edge in self.edges:
            place = (edge.cell, edge.edge, edge.supernet)
            writer.writerows((*place, *vars(each).values()) for each in edge.operations)
        return text.getvalue()

    def discretization(self) -> AnalysisTable:
        """Return α, weight and accuracy at convergence of each operation, for a figure."""
        rows = [
            (edge.cell, edge.edge, each.operation, each.alpha, each.weight, each.converged)
            for edge in self.edges
            for each in edge.operations
        ]
        return replace(discretization_table(rows), checkpoint=self.checkpoint)

    def markdown(self, name: str) -> str:
        """Return a Markdown page with a table for each edge.

        Args:
            name: Name of the run.
        """
        lines = [f"# Analysis {name}", "", f"Checkpoint: `{self.checkpoint}`"]
        lines += [f"Tuning epochs for each operation: {self.epochs}"]
        for edge in self.edges:
            lines += ["", f"## {edge.title()}", "", f"| {' | '.join(_TITLES)} |"]
            lines.append("|---|---:|---:|---:|---:|")
            lines += [f"| {' | '.join(row.values())} |" for row in edge.rows()]
            lines += ["", f"{edge.sentence()}."]
        lines += [
            "",
            "Ranks are in parentheses. Accuracies on the validation half are in percent.",
        ]
        return "\n".join(lines) + "\n"


def discretization_table(rows: Sequence[tuple[Value, ...]]) -> AnalysisTable:
    """Return the table of α against the accuracy after discretization.

    Its metric ``discretization/agreement`` is the fraction of edges on which the operation with the
    largest α has the best accuracy.

    Args:
        rows: Cell type, edge, operation, α, operation weight and accuracy of each operation.
    """
    by_edge: dict[tuple[Value, Value], list[tuple[Value, ...]]] = {}
    for row in rows:
        by_edge.setdefault((row[0], row[1]), []).append(row)
    first = [
        (max(of, key=lambda row: float(row[3])), max(of, key=lambda row: float(row[5])))
        for of in by_edge.values()
    ]
    agree = sum(by_alpha is by_accuracy for by_alpha, by_accuracy in first)
    return AnalysisTable(
        "discretization",
        _DISCRETIZATION,
        list(rows),
        TableAxes("alpha", "accuracy", "operation", ("cell", "edge")),
        {"discretization/agreement": agree / len(first)} if first else {},
    )


def _edge(content: Mapping[str, Any]) -> EdgeAnalysis:
    """Return an edge from the containers of its JSON form."""
    strengths = [
        OperationStrength(
            operation=str(each["operation"]),
            alpha=float(each["alpha"]),
            weight=float(each["weight"]),
            without=float(each["without"]),
            loss_without=float(each["loss_without"]),
            converged=float(each["converged"]),
        )
        for each in content["operations"]
    ]
    return EdgeAnalysis(content["cell"], content["edge"], float(content["supernet"]), strengths)
