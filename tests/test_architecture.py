"""The figures of benchmarks/architecture.py, on a package that is small enough to count by hand."""

from __future__ import annotations

import subprocess
import sys
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
    "hub.py": "class Search(Trained):\n"
    + "".join(f"    def m{number}(self) -> None: self.stored = 1\n" for number in range(13)),
    "low/trained.py": "class Trained:\n    def t0(self) -> None: self.t1 = 1\n",
    "low/view.py": """
        class Part:
            def m0(self) -> None: ...
        class SearchView(Part, Protocol):
            def stored(self) -> int: ...
        class Learner(Protocol):
            def t0(self) -> None: ...
    """,
    "testing/suite.py": "def t(search):\n    search.m7()\n",
    "low/b.py": "def g(search, self, other):\n"
    "    search.m0\n    self._search.m1()\n    self.view.stored = 2\n"
    "    search.absent\n    other.m3\n    search.t0\n    search.t1\n",
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
    # 2 uses in 5 + 1 + 5 + 3 + 14 + 2 + 6 + 8 + 2 lines of code
    assert architecture.any_per_thousand_lines(modules) == pytest.approx(1000 * 2 / 46)
    assert architecture.large_classes(modules) == ["small.hub.Search (13)"]
    assert architecture.hub_names(modules) == ["m0", "m1", "stored", "t0", "t1"]
    assert architecture.names_beside_protocols(modules) == ["m1", "t1"]
    assert architecture.repeated_file_names(modules) == {"b.py": 2}
    # 0, 0, 1, 2, 2, 3, 6, 6, 8, 8, 14
    assert architecture.file_lengths(modules) == (3, 8, 14)


def test_the_table_has_a_row_for_each_figure(architecture: Any, modules: Any) -> None:
    values = [value for _, value, _ in architecture.table(modules)]
    assert values == ["3", "3", "43.5", "1", "5", "2", "1", "3 / 8 / 14"]


def test_the_script_is_quiet_when_its_reader_closes_the_pipe(architecture: Any) -> None:
    script = subprocess.Popen(
        [sys.executable, architecture.__file__], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert script.stdout is not None and script.stderr is not None
    script.stdout.close()  # before anything is written
    assert script.stderr.read() == b""
    script.stderr.close()
    assert script.wait() == 0


@pytest.fixture(scope="session")
def package(architecture: Any) -> Any:
    return architecture.read_modules(architecture.PACKAGE)


def test_the_package_has_no_import_circle(architecture: Any, package: Any) -> None:
    assert architecture.circles(architecture.import_graph(package)) == []


def test_a_search_is_used_through_its_protocols(architecture: Any, package: Any) -> None:
    assert len(architecture.hub_names(package)) > 20  # else the script no longer finds the users
    assert architecture.names_beside_protocols(package) == []


def test_the_package_stays_as_good_as_it_is(architecture: Any, package: Any) -> None:
    inside = sum(len(architecture.imports_inside_functions(module)) for module in package.values())
    assert inside <= 15
    assert architecture.any_per_thousand_lines(package) <= 3.5
    assert len(architecture.large_classes(package)) <= 4  # Search, its base, Relaxation, Genotype
    assert len(architecture.repeated_file_names(package)) == 0
    median, p90, longest = architecture.file_lengths(package)
    assert median <= 108 and p90 <= 252 and longest <= 399
