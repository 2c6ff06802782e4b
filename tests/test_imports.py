"""What may import what: torch-only parts stay so, and help needs none of the heavy libraries."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import subprocess
import sys

import pytest

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


def test_the_names_of_the_package_are_loaded_when_they_are_used() -> None:
    code = "import tune_nas\ntune_nas.load_trial, tune_nas.RunOptions, tune_nas.read_results"
    assert imported_by(code, "torch", "pandas", *HEAVY) == []
    code = "import tune_nas\ntune_nas.Search, tune_nas.Retrain"
    assert imported_by(code, "torch", "pandas", *HEAVY) == ["torch"]


@pytest.mark.parametrize("package", ["tune_nas", "tune_nas.figures", "tune_nas.tracking"])
def test_lazy_names_are_those_that_a_type_checker_sees(package: str) -> None:
    """Each name that ``if TYPE_CHECKING`` imports is loaded, as the same object."""
    module = importlib.import_module(package)
    tree = ast.parse(inspect.getsource(module))
    seen = {
        alias.asname or alias.name: (node.module, alias.name)
        for branch in tree.body
        if isinstance(branch, ast.If)
        for node in branch.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert set(seen) == set(module.__all__) - {"__version__"}
    for name, (home, there) in seen.items():
        assert getattr(module, name) is getattr(importlib.import_module(home or ""), there)
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nope'"):
        module.nope  # noqa: B018


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
