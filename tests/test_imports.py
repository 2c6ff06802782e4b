"""What may import what: torch-only parts stay so, and help needs none of the heavy libraries."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

Graph = dict[str, set[str]]
HEAVY = ("ray", "optuna", "mlflow")


# Who may import whom: a folder (or module of the package) those of the lines below its own, and
# nothing of its own line. Imports inside functions and under TYPE_CHECKING count.
LAYERS = (
    ("__main__",),
    ("cli", "testing"),
    ("tune_nas",),  # the package itself, whose names come from all over it
    ("sweep",),
    ("tasks",),
    ("report", "tracking"),
    ("figures",),
    ("export",),
    ("candidates",),
    ("search", "retrain", "strategies"),
    ("predictor", "proxies"),
    ("benchmark", "memory"),
    ("spaces",),
    ("native", "data", "training"),
    ("layers",),
    ("library", "runtime", "checkpoint"),
    ("config", "operation_strength", "yaml_text", "files", "seeds", "shipped"),
    ("analysis_table", "checkpoint_folder", "eager_optimizers", "user_code"),
    ("paths",),
    (
        "text",
        "errors",
        "invocation",
        "json_text",
        "lazy",
        "learner",
        "status",
        "manifest",
        "pareto",
        "rank_correlation",
        "stability",
        "version",
        "without_compiler",
    ),
)


def layer_of(module: str) -> int:
    """Return the line of a module, from above; a new folder must be given one."""
    room = [*module.split("."), "tune_nas"][1]
    lines = [number for number, rooms in enumerate(LAYERS) if room in rooms]
    assert len(lines) == 1, f"tune_nas/{room} has no layer, or several"
    return lines[0]


@pytest.fixture(scope="module")
def graph(architecture: Any) -> Graph:
    """The modules that each module imports, in functions and under TYPE_CHECKING too."""
    modules = architecture.read_modules(architecture.PACKAGE)
    return dict(architecture.import_graph(modules, in_functions=True))


def test_imports_point_down_the_layers(graph: Graph) -> None:
    wrong = {
        (module, target)
        for module, targets in graph.items()
        for target in targets
        if layer_of(target) <= layer_of(module) and target.split(".")[:2] != module.split(".")[:2]
    }
    assert wrong == set(), "an import points up the layers"


def test_no_circle(architecture: Any) -> None:
    circles = architecture.circles(
        architecture.import_graph(architecture.read_modules(architecture.PACKAGE))
    )
    assert circles == [], "modules import each other"


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
    of_data_sets = ("torchvision", "sklearn", "PIL")  # imported by those that need them
    assert imported_by(code, "torch", *HEAVY, *of_data_sets) == ["torch"]


def test_the_package_imports_no_torch() -> None:
    assert imported_by("import tune_nas", "torch", "pydantic", *HEAVY) == []


def test_the_names_of_the_package_are_loaded_when_they_are_used() -> None:
    code = "import tune_nas\ntune_nas.load_trial, tune_nas.RunOptions, tune_nas.read_results"
    assert imported_by(code, "torch", "pandas", *HEAVY) == []
    code = "import tune_nas\ntune_nas.Search, tune_nas.Retrain"
    assert imported_by(code, "torch", "pandas", *HEAVY) == ["torch"]


@pytest.mark.parametrize(
    "package",
    [
        "tune_nas",
        "tune_nas.cli.bodies",
        "tune_nas.tracking.mlflow_names",
        *(
            f"tune_nas.{room}"
            for room in ("benchmark", "figures", "report", "sweep", "tasks", "tracking")
        ),
    ],
)
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
    assert set(seen) == {name for name in module.__all__ if name not in vars(module)}
    for name, (home, there) in seen.items():
        assert getattr(module, name) is getattr(importlib.import_module(home or ""), there)
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nope'"):
        module.nope  # noqa: B018


def test_the_sweep_model_imports_neither_torch_nor_ray() -> None:
    assert imported_by("import tune_nas.sweep.config", "torch", *HEAVY) == []


def test_a_sweep_is_rejected_without_torch_and_ray() -> None:
    assert imported_by("import tune_nas.sweep.runner", "torch", *HEAVY) == []


def test_listing_and_reporting_need_no_torch(tmp_path: Path) -> None:
    shutil.copytree(Path(__file__).parent / "sweep" / "before", tmp_path / "before")
    storage = ["--storage", str(tmp_path)]
    commands = [
        *(["list", "trials"], ["show", "lambda"], ["report", "before", *storage]),
        *(["runs", *storage], ["status", "before", *storage]),
    ]
    code = "\n".join(
        f"try: app({command!r})\nexcept SystemExit as leave: assert not leave.code, leave.code"
        for command in commands
    )
    found = imported_by(f"from tune_nas.cli import app\n{code}", "torch", "matplotlib", *HEAVY)
    assert found == []


def test_a_process_that_waits_for_a_shared_one_imports_no_torch() -> None:
    """Each trial has one; torch would take some hundred megabytes in each."""
    code = """
from tune_nas.config import TrialConfig
from tune_nas.sweep.jobs import Job
from tune_nas.sweep.ray.shared_process import SharedProcessTrainable

class Waiting(SharedProcessTrainable):
    def make_learner(self):
        raise RuntimeError

job = Job("search-00000", "search", "search", TrialConfig())
Waiting({"job": job.to_dict(), "recorded": 0})
"""
    assert imported_by(code, "ray", "torch", "optuna", "mlflow") == ["ray"]


def test_a_process_whose_task_needs_no_torch_imports_none() -> None:
    code = """
import tune_nas.sweep.ray.worker_group  # Ray imports it, to call `start_workers`
from tune_nas.config import TrialConfig
from tune_nas.sweep.jobs import Job
from tune_nas.sweep.ray.trainable import EpochTrainable
from tune_nas.tasks import Task

class Learner:
    epoch, done = 0, False

    def result(self):
        return None

    def remarks(self):
        return {}

    def artifacts(self):
        return {}

    def run_epoch(self, on_step=None):
        self.epoch += 1
        return {"epoch": self.epoch}

class Measurement(Task):
    def epochs(self, trial):
        return 2

    def build(self, trial, inputs, together=None):
        return Learner()

job = Job("search-00000", "search", "search", TrialConfig())
trial = EpochTrainable.__new__(EpochTrainable)
trial.setup({"job": job.to_dict(), "recorded": 0}, Measurement())
assert trial.step()["epoch"] == 1
"""
    assert imported_by(code, "ray", "torch", "optuna", "mlflow") == ["ray"]


COMMANDS = (
    *("sweep", "search", "retrain", "resume", "select", "analyze"),
    *("report", "compare", "list", "show", "inspect", "benchmark", "ui"),
    *("extend", "runs", "status", "stop", "rename", "rm", "clean", "doctor"),
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


def test_only_what_runs_a_search_imports_it(graph: Graph) -> None:
    """Its parts stand on `tune_nas.search.view`."""
    inside = {
        module
        for module, imported in graph.items()
        if module.startswith("tune_nas.search") and "tune_nas.search.search" in imported
    }
    assert inside == {
        "tune_nas.search",
        "tune_nas.search.analysis",
        "tune_nas.search.measured_analysis",
    }


def test_layers_are_below_spaces_and_native(graph: Graph) -> None:
    below = {
        "tune_nas.layers": ("tune_nas.layers",),
        "tune_nas.native": (
            "tune_nas.native",
            "tune_nas.layers",
            "tune_nas.seeds",
            "tune_nas.stability",
        ),
    }
    for package, allowed in below.items():
        for module, imported in graph.items():
            if module.startswith(package):
                assert [name for name in imported if not name.startswith(allowed)] == [], module
