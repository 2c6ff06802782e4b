"""What may import what: torch-only parts stay so, and help needs none of the heavy libraries."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from import_graph import circles, import_graph

HEAVY = ("ray", "optuna", "mlflow")


def imported_by(code: str, *suspects: str) -> list[str]:
    """Run code in a fresh interpreter and return which of the suspects it has imported."""
    report = f"import json\nprint(json.dumps([n for n in {suspects!r} if n in sys.modules]))"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\n{report}"],
        check=True,
        capture_output=True,
        text=True,
    )
    return list(json.loads(done.stdout.splitlines()[-1]))


def test_parts_that_need_torch_alone() -> None:
    parts = ("search", "spaces", "retrain", "data", "checkpoint", "library")
    code = "\n".join(f"import tune_nas.{part}" for part in parts)
    assert imported_by(code, "torch", *HEAVY) == ["torch"]


def test_the_package_imports_no_torch() -> None:
    assert imported_by("import tune_nas", "torch", "pydantic", *HEAVY) == []


def test_the_sweep_model_imports_neither_torch_nor_ray() -> None:
    assert imported_by("import tune_nas.sweep.config", "torch", *HEAVY) == []


COMMANDS = (
    *("sweep", "search", "retrain", "resume", "select", "analyse"),
    *("inspect", "benchmark", "ui"),
)


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_imports_no_torch(command: str) -> None:
    arguments = [command, "--help"] if command else ["--help"]
    code = (
        "from tune_nas.cli import app\n"
        f"try: app({arguments!r})\n"
        "except SystemExit as leave: assert not leave.code, leave.code"
    )
    assert imported_by(code, "torch", "numpy", "matplotlib", *HEAVY) == []


def test_circles_are_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set(), "e": {"e", "a"}}
    assert circles(graph) == [["b", "c"]]


def test_search_spaces_and_native_have_no_circles_of_imports() -> None:
    packages = ("search", "spaces", "native", "layers")
    found = [
        circle
        for circle in circles(import_graph())
        if any(module.split(".")[1] in packages for module in circle)
    ]
    assert found == []


def test_only_what_runs_a_search_imports_it() -> None:
    """Its parts stand on `tune_nas.search.view`."""
    inside = {
        module
        for module, imported in import_graph().items()
        if module.startswith("tune_nas.search") and "tune_nas.search.search" in imported
    }
    assert inside == {"tune_nas.search", "tune_nas.search.analysis"}


def test_layers_are_below_spaces_and_native() -> None:
    graph = import_graph()
    below = {
        "tune_nas.layers": ("tune_nas.layers",),
        "tune_nas.native": ("tune_nas.native", "tune_nas.layers", "tune_nas.seeds"),
    }
    for package, allowed in below.items():
        for module, imported in graph.items():
            if module.startswith(package):
                assert [name for name in imported if not name.startswith(allowed)] == [], module
