"""The figures of benchmarks/architecture.py, on a package that is small enough to count by hand."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

FILES = {
    "__init__.py": "",
    "a.py": """
        from typing import TYPE_CHECKING, Any

        from small import b
        if TYPE_CHECKING:
            from small.low.leaf import Leaf

        # two uses of Any in five lines of code
        def f(x: Any, leaf: "Leaf") -> Any: ...
    """,
    "b.py": "from small.low import c\n",
    "low/__init__.py": "",
    "low/c.py": """
        import small.a

        def late() -> None:
            import small.low.leaf
            def later() -> None:
                from json import dumps
    """,
    "low/leaf.py": "def leaf() -> None:\n    from small import a\nclass Leaf: ...\n",
    "hub.py": "class Search:\n"
    + "".join(f"    def m{number}(self) -> None: self.stored = 1\n" for number in range(13)),
    "testing/suite.py": "def t(search):\n    search.m7()\n",
    "low/b.py": "def g(search, self, other):\n"
    "    search.m0\n    self._search.m1()\n    self.view.stored = 2\n"
    "    search.absent\n    other.m3\n",
}


@pytest.fixture
def modules(architecture: Any, tmp_path: Path) -> Any:
    for name, text in FILES.items():
        path = tmp_path / "small" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text).lstrip("\n"), encoding="utf-8")
    return architecture.read_modules(tmp_path / "small")


def test_a_circle_counts_type_checking_and_no_function(architecture: Any, modules: Any) -> None:
    graph = architecture.import_graph(modules)
    assert graph["small.a"] == {"small.b", "small.low.leaf"}
    assert graph["small.b"] == {"small.low.c"}
    assert graph["small.low.leaf"] == set()  # its import of small.a is inside a function
    everything = architecture.import_graph(modules, in_functions=True)
    assert everything["small.low.leaf"] == {"small.a"}
    assert architecture.circles(graph) == [["small.a", "small.b", "small.low.c"]]


def test_separate_circles_are_told_apart_and_sorted_by_size(architecture: Any) -> None:
    graph = {"a": {"b"}, "b": {"a", "c"}, "c": {"d"}, "d": {"e"}, "e": {"c"}, "f": {"a"}}
    assert architecture.circles(graph) == [["c", "d", "e"], ["a", "b"]]


def test_the_other_counts(architecture: Any, modules: Any) -> None:
    # small.low.c has two, one of them in a function of a function; small.low.leaf has one.
    inside = {name: len(architecture.imports_inside_functions(modules[name])) for name in modules}
    assert {name: count for name, count in inside.items() if count} == {
        "small.low.c": 2,
        "small.low.leaf": 1,
    }
    # 2 uses in 5 + 1 + 5 + 3 + 14 + 6 + 2 lines of code
    assert architecture.any_per_thousand_lines(modules) == pytest.approx(1000 * 2 / 36)
    assert architecture.large_classes(modules) == ["small.hub.Search (13)"]
    assert architecture.hub_names(modules) == ["m0", "m1", "stored"]
    assert architecture.repeated_file_names(modules) == {"b.py": 2}
    # 0, 0, 1, 2, 3, 6, 6, 8, 14
    assert architecture.file_lengths(modules) == (3, 14, 14)


def test_the_table_has_a_row_for_each_figure(architecture: Any, modules: Any) -> None:
    values = [value for _, value, _ in architecture.table(modules)]
    assert values == ["3", "3", "55.6", "1", "3", "1", "3 / 14 / 14"]
