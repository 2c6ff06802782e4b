"""The edges in a field of DARTS's notation, in its three variants.

Pairs of operation and source, two for each node, in one list (quark0/darts); a tuple of pairs for
each node, which may have the edge's weight as a third entry (D-X-Y/AutoDL-Projects, GDAS and SETN);
(operation, target, source) in one list, any number for a node (xiaomi-automl/FairDARTS).
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

from tune_nas.errors import GenotypeError
from tune_nas.spaces.notation.cells import operation_name
from tune_nas.spaces.notation.expression import Expression

N_INPUTS = 2


@dataclass(frozen=True)
class _Entry:
    """An operation and the numbers after it, with their syntax."""

    syntax: ast.expr
    operation: str
    numbers: list[int | float]

    @property
    def names_target(self) -> bool:
        """Whether it is (operation, target, source); the third entry in GDAS is not an integer."""
        return len(self.numbers) == 2 and isinstance(self.numbers[1], int)


class Field:
    """The field ``normal`` or ``reduce``.

    Args:
        expression: The enclosing expression.
        name: Its name.
        syntax: Its value.

    Raises:
        GenotypeError: If it is not a list of edges; says where.
    """

    def __init__(self, expression: Expression, name: str, syntax: ast.expr) -> None:
        self._expression, self._name, self._syntax = expression, name, syntax
        items = expression.items(syntax)
        if not items:
            raise expression.error(
                syntax, f"is {name}, but must be a list of pairs, two for each node"
            )
        first = expression.items(items[0]) or [syntax]
        self._nested = first != [syntax] and expression.items(first[0]) is not None
        self._groups = (
            [self._group(item) for item in items]
            if self._nested
            else [[self._entry(item) for item in items]]
        )

    def _group(self, syntax: ast.expr) -> list[_Entry]:
        items = self._expression.items(syntax)
        if not items:
            raise self._error(syntax, "must be the pairs of a node")
        return [self._entry(item) for item in items]

    def _entry(self, syntax: ast.expr) -> _Entry:
        parts = self._expression.items(syntax) or []
        operation = self._expression.string(parts[0]) if parts else None
        numbers = [self._expression.number(part) for part in parts[1:]]
        known = [number for number in numbers if number is not None]
        legal = len(known) == len(numbers) and len(known) in (1, 2) and isinstance(known[0], int)
        if operation is None or not legal:
            raise self._error(syntax, "must be a pair as ('sep_conv_3x3', 0)")
        return _Entry(syntax, operation, known)

    def _error(self, syntax: ast.expr, rule: str) -> GenotypeError:
        return self._expression.error(syntax, f"in {self._name} {rule}")

    def pairs(self) -> list[tuple[str, int]]:
        """Return the operation and the first number of each entry, as written."""
        return [(entry.operation, int(entry.numbers[0])) for g in self._groups for entry in g]

    def edges(self, nodes: list[int] | None) -> list[tuple[int, int, str]]:
        """Return the edges as (source, target, operation), in the order of the text.

        Args:
            nodes: The nodes of the cell's output; None if unknown.

        Raises:
            GenotypeError: If a node or an operation is invalid, or an edge is duplicated.
        """
        found: dict[tuple[int, int], str] = {}
        for entry, source, target in self._placed(nodes):
            if not 0 <= source < target:
                raise self._error(
                    entry.syntax, f"is an edge {source}->{target}, but must lead to a later node"
                )
            if (source, target) in found:
                raise self._error(
                    entry.syntax,
                    f"is an operation of edge {source}->{target}, which is there "
                    f"twice; it has '{found[source, target]}' already",
                )
            try:
                found[source, target] = operation_name(entry.operation)
            except GenotypeError as error:
                raise self._error(entry.syntax, f"has an {error}") from error
        return [(*edge, operation) for edge, operation in found.items()]

    def _placed(self, nodes: list[int] | None) -> list[tuple[_Entry, int, int]]:
        """Return each entry with its source and its target."""
        entries = [entry for group in self._groups for entry in group]
        with_target = [entry for entry in entries if entry.names_target]
        if not self._nested and len(with_target) == len(entries):
            return [self._with_target(entry, nodes) for entry in entries]
        if with_target:
            raise self._error(
                with_target[0].syntax,
                "has two numbers of nodes, as FairDARTS's (operation, target, source) in a plain "
                "list; GDAS's third entry is a weight, as 0.5",
            )
        if not self._nested and len(entries) % 2:
            raise self._error(
                entries[-1].syntax,
                f"is the last of {len(entries)} pairs, but there must be two for each node",
            )
        per_node = 2
        targets = [
            N_INPUTS + (index if self._nested else place // per_node)
            for index, group in enumerate(self._groups)
            for place in range(len(group))
        ]
        return [
            (entry, int(entry.numbers[0]), target)
            for entry, target in zip(entries, targets, strict=True)
        ]

    def _with_target(self, entry: _Entry, nodes: list[int] | None) -> tuple[_Entry, int, int]:
        target, source = (int(number) for number in entry.numbers)
        if nodes is not None and target not in nodes:
            raise self._error(
                entry.syntax,
                f"has the target {target}, which is none of {nodes}; "
                "write (operation, target, source)",
            )
        return entry, source, target
