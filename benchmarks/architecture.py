"""Measure the structure of the package: python benchmarks/architecture.py [FOLDER].

How each figure is counted, over the syntax trees of all ``*.py`` files of the package:

- Import cycles: the strongly connected components of the modules. An import counts if it runs when
  the module is imported, or is under ``if TYPE_CHECKING``; one inside a function does not.
  ``from package import name`` leads to the module ``package.name`` if there is one, else to
  ``package``. Relative imports, which the package does not have, are not resolved.
- Imports inside functions: the import statements in bodies of functions and methods.
- ``Any`` per 1,000 lines: its uses in code and annotations, its imports aside, over the lines that
  are neither blank nor a comment.
- Methods of a class: the functions in its body, special methods and properties included.
- Names of `Search` that other files use: its methods and the attributes that it sets on itself,
  those of its base classes included, as far as they are read from or assigned to something called
  ``search``, ``view`` or ``control``. Those beside its protocols are the names among them that
  `SearchView`, `SearchControl`, `Learner` and the protocols' bases do not have.
  The tests that the package ships (``testing``) use a search as its users do, and do not count.
- File names used twice: the distinct names that several files have, except ``__init__.py``.
- Lines of a file: all of them; p90 is the value below which nine tenths of the files are.
"""

from __future__ import annotations

import ast
import os
import statistics
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "tune_nas"
MOST_METHODS = 12
_HUB = "Search"
_PROTOCOLS = ("SearchView", "SearchControl", "Learner")
_CALLED = frozenset(("search", "view", "control"))
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_IMPORTS = (ast.Import, ast.ImportFrom)

Modules = Mapping[str, "Module"]
Graph = Mapping[str, set[str]]


@dataclass(frozen=True)
class Module:
    """One file of the package."""

    path: Path
    lines: tuple[str, ...]
    tree: ast.Module


def read_modules(package: Path) -> dict[str, Module]:
    """Return the modules of a package by dotted name."""
    modules = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        text = path.read_text(encoding="utf-8")
        modules[name] = Module(path, tuple(text.splitlines()), ast.parse(text))
    return modules


def imports_inside_functions(module: Module) -> set[ast.stmt]:
    """Return the import statements in bodies of functions."""
    functions = (node for node in ast.walk(module.tree) if isinstance(node, _FUNCTIONS))
    return {
        node for function in functions for node in ast.walk(function) if isinstance(node, _IMPORTS)
    }


def import_graph(modules: Modules, *, in_functions: bool = False) -> dict[str, set[str]]:
    """Return the modules of the package that each module imports, including under TYPE_CHECKING.

    Args:
        modules: The package.
        in_functions: Whether imports inside functions count too.
    """
    graph: dict[str, set[str]] = {}
    for name, module in modules.items():
        inside = set() if in_functions else imports_inside_functions(module)
        targets = (
            target
            for node in ast.walk(module.tree)
            if isinstance(node, _IMPORTS) and node not in inside
            for target in _targets(node, modules)
        )
        graph[name] = set(targets) - {name}
    return graph


def _targets(node: ast.Import | ast.ImportFrom, modules: Modules) -> Iterator[str]:
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    else:
        base = node.module or ""
        members = [f"{base}.{alias.name}" for alias in node.names]
        names = [member if member in modules else base for member in members]
    return (name for name in names if name in modules)


def circles(graph: Graph) -> list[list[str]]:
    """Return the sets of modules that all import each other in the end, the largest first."""
    reach = {name: _reachable(graph, name) for name in graph}
    found = {
        tuple(sorted(other for other in reached if name in reach[other]))
        for name, reached in reach.items()
        if name in reached
    }
    return sorted((list(circle) for circle in found), key=lambda circle: (-len(circle), circle))


def _reachable(graph: Graph, start: str) -> set[str]:
    reached: set[str] = set()
    open_ = list(graph[start])
    while open_:
        name = open_.pop()
        if name not in reached:
            reached.add(name)
            open_ += graph[name]
    return reached


def any_per_thousand_lines(modules: Modules) -> float:
    """Return the uses of ``Any`` per 1,000 lines of code."""
    uses = sum(
        isinstance(node, ast.Name) and node.id == "Any"
        for module in modules.values()
        for node in ast.walk(module.tree)
    )
    stripped = (line.strip() for module in modules.values() for line in module.lines)
    return 1000 * uses / max(1, sum(bool(line) and not line.startswith("#") for line in stripped))


def large_classes(modules: Modules) -> list[str]:
    """Return the classes with more than 12 methods, each with the number of its methods."""
    return [
        f"{name}.{node.name} ({count})"
        for name, module in modules.items()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef)
        and (count := sum(isinstance(entry, _FUNCTIONS) for entry in node.body)) > MOST_METHODS
    ]


def hub_names(modules: Modules, hub: str = _HUB) -> list[str]:
    """Return the names of the class ``hub`` that other files use, sorted."""
    classes = _classes(modules)
    homes, members = _members(classes, hub)
    return sorted(
        {
            node.attr
            for name, module in modules.items()
            if name not in homes and ".testing." not in name
            for node in ast.walk(module.tree)
            if isinstance(node, ast.Attribute) and _is_called(node.value) and node.attr in members
        }
    )


def names_beside_protocols(modules: Modules, hub: str = _HUB) -> list[str]:
    """Return the names of the class ``hub`` that other files use and none of its protocols has."""
    classes = _classes(modules)
    allowed = {name for protocol in _PROTOCOLS for name in _members(classes, protocol)[1]}
    return [name for name in hub_names(modules, hub) if name not in allowed]


def _classes(modules: Modules) -> dict[str, tuple[str, ast.ClassDef]]:
    """Return the classes of the package by name, each with the name of its module."""
    return {
        node.name: (name, node)
        for name, module in modules.items()
        for node in module.tree.body
        if isinstance(node, ast.ClassDef)
    }


def _members(
    classes: Mapping[str, tuple[str, ast.ClassDef]], name: str
) -> tuple[set[str], set[str]]:
    """Return the methods of a class and the attributes that it sets on itself, its bases' too.

    Returns:
        The modules of the class and of its bases, and the names.
    """
    if name not in classes:
        return set(), set()
    home, node = classes[name]
    homes, members = {home}, {entry.name for entry in node.body if isinstance(entry, _FUNCTIONS)}
    members |= {
        entry.attr
        for entry in ast.walk(node)
        if isinstance(entry, ast.Attribute)
        and isinstance(entry.ctx, ast.Store)
        and isinstance(entry.value, ast.Name)
        and entry.value.id == "self"
    }
    for base in node.bases:
        if isinstance(base, ast.Name):
            base_homes, base_members = _members(classes, base.id)
            homes |= base_homes
            members |= base_members
    return homes, members


def _is_called(value: ast.expr) -> bool:
    """Return whether an expression is a variable or attribute by which a search is passed on."""
    if isinstance(value, ast.Name):
        return value.id.lstrip("_") in _CALLED
    return isinstance(value, ast.Attribute) and value.attr.lstrip("_") in _CALLED


def repeated_file_names(modules: Modules) -> dict[str, int]:
    """Return the file names that several modules have, with the number of modules."""
    names = Counter(module.path.name for module in modules.values())
    return {n: count for n, count in sorted(names.items()) if count > 1 and n != "__init__.py"}


def file_lengths(modules: Modules) -> tuple[float, int, int]:
    """Return the median, the 90th percentile and the maximum of the lines of a file."""
    lengths = sorted(len(module.lines) for module in modules.values())
    return statistics.median(lengths), lengths[int(0.9 * len(lengths))], lengths[-1]


def table(modules: Modules) -> list[tuple[str, str, str]]:
    """Return the rows of the table: the quantity, its value and the goal."""
    largest = next(iter(circles(import_graph(modules))), [])
    inside = sum(len(imports_inside_functions(module)) for module in modules.values())
    median, p90, longest = file_lengths(modules)
    return [
        ("largest import circle, TYPE_CHECKING imports counted", str(len(largest)), "none"),
        ("imports inside functions", str(inside), "≤ 40"),
        ("`Any` per 1,000 lines", f"{any_per_thousand_lines(modules):.1f}", "≤ 8"),
        (f"classes with more than {MOST_METHODS} methods", str(len(large_classes(modules))), "≤ 4"),
        (f"names of `{_HUB}` that other files use", str(len(hub_names(modules))), "its protocols'"),
        ("… that are not its protocols'", str(len(names_beside_protocols(modules))), "0"),
        ("file names used twice", str(len(repeated_file_names(modules))), "0"),
        (
            "median / p90 / max lines of a file",
            f"{median:g} / {p90} / {longest}",
            "108 / 252 / 399",
        ),
    ]


def main() -> None:
    """Print the table as Markdown, and the parts of each figure below it."""
    modules = read_modules(Path(sys.argv[1]) if len(sys.argv) > 1 else PACKAGE)
    print("| measured | now | goal |\n|---|---:|---:|")
    for row in table(modules):
        print(f"| {' | '.join(row)} |")
    print()
    for circle in circles(import_graph(modules)):
        print(f"circle of {len(circle)}: {', '.join(circle)}")
    print(f"large classes: {', '.join(large_classes(modules))}")
    print(f"names of {_HUB}: {', '.join(hub_names(modules))}")
    print(f"beside its protocols: {', '.join(names_beside_protocols(modules))}")
    print(f"file names: {', '.join(repeated_file_names(modules))}")


if __name__ == "__main__":
    try:
        main()
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, e.g. head, has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
